"""One broker for all security tests, with a listener for each way in; see `secured` for what it wants of whom."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from streamer.models.torchscript import Model
from streamer.service.build import load_model
from streamer.settings import Settings
from tests.brokers import NodeCluster, Wanted, new_topic
from tests.conftest import _chain, _skip_without
from tests.jobs import Job
from tests.security.canaries import canary, pem_paths, secret_paths, variable
from tests.security.certificates import Certificates, encrypt
from tests.security.least import Least
from tests.security.secured import (
    LISTENERS,
    PASSWORD,
    SCRAM,
    USER,
    Grant,
    add_user,
    grant,
    properties,
    scram,
    some_user,
)
from tests.security.service import environment, put
from tests.workers import Worker, running


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def secured(certificates: Certificates) -> Iterator[NodeCluster]:
    """A node that takes TLS and SASL on listeners of their own, and has its authoriser on."""
    _skip_without("faults", "properties")
    with _chain.running(Wanted(1, properties(certificates), tuple(LISTENERS))) as cluster:
        _skip_without("faults", "properties")
        assert isinstance(cluster, NodeCluster), f"this is a bug: {cluster.name} has no nodes"
        add_user(cluster, USER, PASSWORD, *SCRAM)
        yield cluster


@pytest.fixture
def job(secured: NodeCluster) -> Job:
    """Topics and a group on it; partitions: one each."""
    return Job(secured, partial(new_topic, secured), partitions=1)


@pytest.fixture
def least(secured: NodeCluster, job: Job) -> Least:
    """A user who may do nothing with the job yet."""
    return Least(secured, job)


@pytest.fixture(scope="session")
def model() -> Model:
    return load_model(Settings())


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """A word of its own for every secret of the settings that may be a word, by the name of its variable."""
    pem = pem_paths(Settings)
    return {variable("STREAMER", *path): canary() for path in secret_paths(Settings) if path not in pem}


@pytest.fixture(scope="session")
def talkative(
    secured: NodeCluster,
    certificates: Certificates,
    secrets: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Worker]:
    """A worker by TLS and SASL that uses all of `secrets`, logs at DEBUG, and has done a good and a bad record."""
    folder = tmp_path_factory.mktemp("talkative")
    job = Job(secured, partial(new_topic, secured), partitions=1)
    job.settings = secrets | opening(secured, certificates, secrets, folder)
    count = put(job)
    with running(job.environment, folder / "log") as worker:
        worker.wait_for(count)
        yield worker


def opening(secured: NodeCluster, certificates: Certificates, secrets: dict[str, str], folder: Path) -> dict[str, str]:
    """The settings by which `secrets` open SASL_SSL: a user and a key of the client that have them."""
    user, key = some_user(), folder / "client.key"
    add_user(secured, user, secrets[variable("STREAMER", "kafka", "security", "password")], "SCRAM-SHA-512")
    encrypt(certificates.client.key, secrets[variable("STREAMER", "kafka", "security", "key_password")], key)
    grant(secured, user, [Grant("all", "topic", "*"), Grant("all", "group", "*")])
    more = {"protocol": "SASL_SSL", "ca_file": certificates.ca_file}
    more |= {"cert_file": certificates.client.certificate, "key_file": key}
    security = scram(user, "", "SCRAM-SHA-512", **more).model_copy(update={"password": None})
    return environment(secured.address("SASL_SSL"), security) | {"STREAMER_LOG__LEVEL": "DEBUG"}
