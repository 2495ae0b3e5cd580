"""Users who may do little, and what each command needs: docs/operations.md lists the same."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from streamer.commands.replay import GROUP_SUFFIX
from streamer.kafka.check.checks import check_cluster
from streamer.settings import Settings
from tests.brokers import NodeCluster
from tests.jobs import Job
from tests.security.secured import Grant, add_user, grant, scram, some_user
from tests.security.service import settings

TRANSACTIONS = "streamer"  # What transactional ids begin with.
PASSWORD = "acl-horse"  # noqa: S105  # Of users that live for one test.


@dataclass(slots=True)
class Least:
    """A user who may do nothing yet, and the service as that user."""

    cluster: NodeCluster
    job: Job
    name: str = field(default_factory=some_user)
    delivery: str = "at_least_once"

    def __post_init__(self) -> None:
        add_user(self.cluster, self.name, PASSWORD, "SCRAM-SHA-256")

    @property
    def settings(self) -> Settings:
        given = settings(self.job, self.cluster.address("SASL_PLAINTEXT"), scram(self.name, PASSWORD))
        return given.model_copy(update={"delivery": self.delivery})

    def granted(self, *grants: Grant) -> Settings:
        grant(self.cluster, self.name, grants)
        return self.settings

    def errors(self) -> dict[str, str]:
        """What `streamer check` has against the cluster, but for the topics' sizes."""
        found = asyncio.run(check_cluster(self.settings, False, 1, 1))
        return {f.subject: f.detail for f in found if not f.ok and not f.subject.startswith("record size")}


class Names(NamedTuple):
    """What ACLs name."""

    input: str
    output: str
    dead: str
    group: str


def run_needs(job: Job | Names, delivery: str = "at_least_once") -> dict[str, Grant]:
    more = transaction_needs() if delivery == "exactly_once" else {}
    return more | {
        "read input": Grant("read", "topic", job.input),
        "read group": Grant("read", "group", job.group),
        "write output": Grant("write", "topic", job.output),
        "write dead letters": Grant("write", "topic", job.dead),
    }


def replay_needs(job: Job | Names) -> dict[str, Grant]:
    return {
        "read dead letters": Grant("read", "topic", job.dead),
        "read group": Grant("read", "group", job.group + GROUP_SUFFIX),
        "write input": Grant("write", "topic", job.input),
    }


def transaction_needs() -> dict[str, Grant]:
    return {"write transaction": Grant("write", "transactional_id", TRANSACTIONS, "prefixed")}


def trend_needs(topic: str) -> dict[str, Grant]:
    return {"write trends": Grant("write", "topic", topic), "read trends": Grant("read", "topic", topic)}


def produce_needs(job: Job | Names) -> dict[str, Grant]:
    return {"write input": Grant("write", "topic", job.input)}


def watch_needs(job: Job | Names) -> dict[str, Grant]:
    return {"read output": Grant("read", "topic", job.output)}


def dashboard_needs(topic: str) -> dict[str, Grant]:
    return {"read output": Grant("read", "topic", topic), "read trends": Grant("read", "topic", f"{topic}.trends")}


def moderator_needs(topic: str) -> dict[str, Grant]:
    return {
        "read held": Grant("read", "topic", f"{topic}.review"),
        "read verdicts": Grant("read", "topic", f"{topic}.verdicts"),
        "write verdicts": Grant("write", "topic", f"{topic}.verdicts"),
    }


def without(grants: dict[str, Grant], one: str) -> list[Grant]:
    return [given for name, given in grants.items() if name != one]
