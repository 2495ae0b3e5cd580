"""The ACLs that docs/operations.md lists: enough, none too many; one that is missing is said, never waited for."""

from __future__ import annotations

import asyncio
import json

import pytest

from streamer.kafka.check.checks import check_cluster
from streamer.models.torchscript import Model
from streamer.settings import TrendSettings
from tests.jobs import Job
from tests.reading import committed, read_all
from tests.security.least import (
    TRANSACTIONS,
    Least,
    run_needs,
    trend_needs,
    without,
)
from tests.security.secured import Grant, revoke
from tests.security.service import ends, put, serve

pytestmark = pytest.mark.requires("faults", "properties")

Capture = pytest.CaptureFixture[str]
DELIVERIES = ("at_least_once", "exactly_once")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_the_service_works_with_these(least: Least, job: Job, model: Model, delivery: str, capsys: Capture) -> None:
    """`streamer check` has nothing to say, and `streamer run` labels, writes dead letters and commits."""
    least.delivery = delivery
    wanted = least.granted(*run_needs(job, delivery).values())
    assert least.errors() == {}
    ended = ends(serve(wanted, model, put(job)), capsys)
    assert (ended.code, ended.said) == (0, "")
    assert (len(job.results(1)), len(job.dead_letters(1))) == (1, 1)
    job.assert_offsets_at_the_end()


# What is missing: the exit code of `streamer run`, what it says, and what `streamer check` advises.
HIDDEN = "does not exist, or may not be seen: grant {} to user '{}'"
MISSING = "missing: grant {} to user '{}'"
RUN: dict[str, tuple[int, str, str]] = {
    "read input": (2, "topic '{input}' does not exist", HIDDEN.format("READ", "{user}")),
    "read group": (4, "not allowed to read '{input}' in this group", MISSING.format("READ", "{user}")),
    "write output": (2, "topic '{output}' does not exist", HIDDEN.format("WRITE", "{user}")),
    "write dead letters": (2, "topic '{dead}' does not exist", HIDDEN.format("WRITE", "{user}")),
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("missing", RUN)
def test_the_service_does_not_start_without(
    least: Least, job: Job, model: Model, delivery: str, missing: str, capsys: Capture
) -> None:
    """Any one of them: it ends with a code and a message, and `streamer check` says what to grant."""
    least.delivery = delivery
    wanted = least.granted(*without(run_needs(job, delivery), missing))
    names = {"input": job.input, "output": job.output, "dead": job.dead, "user": least.name}
    code, said, advice = RUN[missing]
    if delivery == "exactly_once" and missing.startswith("write"):
        # It asks for its topics one by one, and so is told which it may not see.
        code, said = 4, said.replace("does not exist", "may not be seen")
    assert list(least.errors().values()) == [advice.format(**names)]
    ended = ends(serve(wanted, model, put(job)), capsys)
    assert ended.code == code
    assert said.format(**names) in ended.said
    assert job.results() == job.dead_letters() == []


IDS = f"transactional ids '{TRANSACTIONS}/...'"
NO_IDS = (
    f"missing: grant WRITE on the transactional ids that begin with '{TRANSACTIONS}' "
    "(kafka.transactional_id_prefix; an ACL of the pattern type prefixed) to user '{}'"
)


def test_transactions_need_their_own(least: Least, job: Job, model: Model, capsys: Capture) -> None:
    """Exactly-once delivery without WRITE on the transactional ids: exit code 4 with the id, and nothing is read.

    `streamer check` says what to grant; in at-least-once delivery it has nothing to say.
    """
    least.granted(*run_needs(job).values())
    assert least.errors() == {}
    least.delivery = "exactly_once"
    wanted = least.settings
    assert least.errors() == {IDS: NO_IDS.format(least.name)}
    ended = ends(serve(wanted, model, put(job)), capsys)
    assert (ended.code, f"{TRANSACTIONS}/{job.group}/" in ended.said) == (4, True), ended
    assert job.results() == job.dead_letters() == []


def test_seeing_transactional_ids_is_not_enough(least: Least, job: Job) -> None:
    """With DESCRIBE on them the coordinator is told; what `streamer check` tries is to take one."""
    least.delivery = "exactly_once"
    least.granted(*run_needs(job).values(), Grant("describe", "transactional_id", TRANSACTIONS, "prefixed"))
    assert least.errors() == {IDS: NO_IDS.format(least.name)}


def test_a_longer_transaction_than_the_broker_allows(least: Least, job: Job) -> None:
    """`streamer check` names the setting, and the broker's own."""
    least.delivery = "exactly_once"
    wanted = least.granted(*run_needs(job, "exactly_once").values())
    kafka = wanted.kafka.model_copy(update={"transaction_timeout_ms": 3_600_000})
    found = asyncio.run(check_cluster(wanted.model_copy(update={"kafka": kafka}), False, 1, 1))
    (last,) = [finding for finding in found if finding.subject == IDS]
    assert last.severity == "error"
    assert last.detail == (
        "the broker allows less than kafka.transaction_timeout_ms 3600000: see its transaction.max.timeout.ms"
    )


def test_a_check_does_not_fence_a_worker(least: Least, job: Job, model: Model, capsys: Capture) -> None:
    """While it works in transactions: the id that is tried is none of its own."""
    least.delivery = "exactly_once"
    wanted = least.granted(*run_needs(job, "exactly_once").values())
    count = put(job)

    def check() -> None:
        assert least.errors() == {}
        put(job)

    ended = ends(serve(wanted, model, 2 * count, check), capsys)
    assert (ended.code, ended.said) == (0, "")
    assert (len(job.results(2)), len(job.dead_letters(2))) == (2, 2)
    job.assert_offsets_at_the_end()


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize(("missing", "code"), [(None, 0), ("write trends", 4), ("read trends", 4)])
def test_trends_need_their_own(
    least: Least, job: Job, model: Model, delivery: str, missing: str | None, code: int, capsys: Capture
) -> None:
    """READ and WRITE on the trends topic: counts are published; without either it ends, and commits nothing."""
    least.delivery = delivery
    topic = f"{job.output}.trends"
    least.cluster.create_topic(topic, job.partitions, {})
    needs = [need for name, need in trend_needs(topic).items() if name != missing]
    granted = least.granted(*run_needs(job, delivery).values(), *needs)
    wanted = granted.model_copy(update={"trends": TrendSettings(enabled=True)})
    ended = ends(serve(wanted, model, put(job)), capsys)
    assert ended.code == code, ended
    messages = read_all(job.bootstrap, topic)
    if code:
        assert topic in ended.said
        assert messages == []
        assert committed(job.bootstrap, job.group, job.input) == {}
    else:
        assert sum(cell[2] + cell[3] + cell[4] for m in messages for cell in json.loads(m.value or b"")["cells"]) == 1


def test_seeing_a_topic_is_not_enough(least: Least, job: Job, model: Model, capsys: Capture) -> None:
    """DESCRIBE instead of READ and WRITE: the topics are there, and what is refused is the first use of each."""
    needs = run_needs(job)
    for missing, topic, said in (
        ("read input", job.input, f"not allowed to read '{job.input}' in this group"),
        ("write output", job.output, f"topic '{job.output}': "),
        ("write dead letters", job.dead, f"topic '{job.dead}': "),
    ):
        user = Least(least.cluster, job)
        wanted = user.granted(*without(needs, missing), Grant("describe", "topic", topic))
        (advice,) = user.errors().values()
        assert advice == MISSING.format(missing.split()[0].upper(), user.name)
        ended = ends(serve(wanted, model, put(job)), capsys)
        assert (ended.code, said in ended.said) == (4, True), ended


@pytest.mark.parametrize(
    ("delivery", "taken"),
    [*(("at_least_once", need) for need in RUN), *(("exactly_once", need) for need in (*RUN, "write transaction"))],
)
def test_what_is_taken_away_from_a_working_service_ends_it(
    least: Least, job: Job, model: Model, delivery: str, taken: str, capsys: Capture
) -> None:
    """With exit code 4 and a message, not a stall; what was not published is not committed."""
    least.delivery = delivery
    needs = run_needs(job, delivery)
    wanted = least.granted(*needs.values())
    put(job)

    def take() -> None:
        revoke(least.cluster, least.name, needs[taken])
        put(job)

    ended = ends(serve(wanted, model, 1000, take), capsys)
    assert ended.code == 4
    resource = {
        "read input": job.input,
        "read group": "group",
        "write output": job.output,
        "write dead letters": job.dead,
        "write transaction": "TransactionalId",
    }[taken]
    assert resource in ended.said
    assert "uthorization" in ended.said
    done = len(job.results()) + len(job.dead_letters())
    assert committed(job.bootstrap, job.group, job.input).get(0, 0) <= done
