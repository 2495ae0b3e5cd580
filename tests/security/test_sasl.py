"""SASL on a broker that wants it: the right credentials work, wrong ones are refused and never shown."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from streamer.kafka.check.checks import check_cluster
from streamer.models.torchscript import Model
from streamer.settings import SecuritySettings
from tests.brokers import NodeCluster
from tests.jobs import Job
from tests.reading import Item
from tests.security.certificates import Certificates
from tests.security.secured import PASSWORD, USER
from tests.security.service import GOOD, ends, put, serve, settings
from tests.security.tokens import SECRET, TokenEndpoint, oauth, token_endpoint, unsigned

pytestmark = pytest.mark.requires("faults", "properties")

Capture = pytest.CaptureFixture[str]
WRONG = "battery-staple"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")


@pytest.fixture
def tokens() -> Iterator[TokenEndpoint]:
    with token_endpoint() as endpoint:
        yield endpoint


def user(mechanism: str, tokens: TokenEndpoint, secret: str | None = None, **more: object) -> SecuritySettings:
    """The user of all mechanisms; with `secret`, who only says to be."""
    if mechanism == "OAUTHBEARER":
        return oauth(tokens.url, secret or SECRET, **more)
    given = {"protocol": "SASL_PLAINTEXT", "mechanism": mechanism, "username": USER}
    return SecuritySettings.model_validate(given | {"password": SecretStr(secret or PASSWORD)} | more)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_service_works_with_sasl_over_tls(
    secured: NodeCluster,
    job: Job,
    certificates: Certificates,
    tokens: TokenEndpoint,
    model: Model,
    mechanism: str,
    capsys: Capture,
) -> None:
    """By each mechanism: a result and a dead letter come out, and their offsets are committed."""
    security = user(mechanism, tokens, protocol="SASL_SSL", ca_file=certificates.ca_file)
    count = put(job)
    ended = ends(serve(settings(job, secured.address("SASL_SSL"), security), model, count), capsys)
    assert (ended.code, ended.said) == (0, "")
    assert (len(job.results(1)), len(job.dead_letters(1))) == (1, 1)
    job.assert_offsets_at_the_end()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_sasl_works_without_tls(secured: NodeCluster, job: Job, tokens: TokenEndpoint, mechanism: str) -> None:
    """`streamer check` has nothing against it but that what is no challenge and response goes in the clear."""
    wanted = settings(job, secured.address("SASL_PLAINTEXT"), user(mechanism, tokens))
    found = asyncio.run(check_cluster(wanted, False, 1, 1))
    # The test's topics leave no room for headers, which is of no matter here.
    assert [finding for finding in found if not finding.ok and "max.message.bytes" not in finding.detail] == []
    warned = any("sends the secret in the clear" in finding.detail for finding in found)
    assert warned == (not mechanism.startswith("SCRAM"))


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_wrong_credentials_are_refused(
    secured: NodeCluster,
    job: Job,
    certificates: Certificates,
    tokens: TokenEndpoint,
    model: Model,
    mechanism: str,
    protocol: str,
    capsys: Capture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Exit code 4 at once; `streamer check` names the settings, and nobody quotes what was sent."""
    ca_file = certificates.ca_file if protocol == "SASL_SSL" else None
    address = secured.address(protocol)
    wanted = settings(job, address, user(mechanism, tokens, WRONG, protocol=protocol, ca_file=ca_file))
    (found,) = asyncio.run(check_cluster(wanted, False, 1, 1))
    assert (found.severity, found.subject) == ("error", f"broker {address}")
    assert found.detail.endswith("see kafka.security.username and password")
    ended = ends(serve(wanted, model, 1), capsys)
    assert (ended.code, ended.seconds < 10) == (4, True)
    assert "uthentication" in caplog.text or "kafka.security.token_url" in caplog.text
    assert WRONG not in f"{found} {ended} {caplog.text}"


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_user_that_is_not_there_is_refused(
    secured: NodeCluster, job: Job, tokens: TokenEndpoint, mechanism: str
) -> None:
    """In the same words: whether there is one is not for everybody to know."""
    security = user(mechanism, tokens, username="mallory")
    (found,) = asyncio.run(check_cluster(settings(job, secured.address("SASL_PLAINTEXT"), security), False, 1, 1))
    assert found.detail == f"{mechanism} refused user 'mallory': see kafka.security.username and password"


@pytest.mark.parametrize(
    "token",
    [unsigned(-60), unsigned(3600, subject=""), "no.jwt"],
    ids=["that has expired", "of nobody", "that is none"],
)
def test_a_token_that_the_broker_refuses(
    secured: NodeCluster,
    job: Job,
    tokens: TokenEndpoint,
    model: Model,
    token: str,
    capsys: Capture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Exit code 4 at once, though aiokafka by itself would take the refusal for a welcome; no token in any text."""
    answer = f'{{"access_token": "{token}", "expires_in": 3600}}'.encode()
    tokens.answer = lambda: (200, {}, answer)
    wanted = settings(job, secured.address("SASL_PLAINTEXT"), user("OAUTHBEARER", tokens))
    (found,) = asyncio.run(check_cluster(wanted, False, 1, 1))
    assert found.detail.startswith(f"it refuses the token of {USER!r}: see kafka.security.scope")
    ended = ends(serve(wanted, model, 1), capsys)
    assert (ended.code, ended.seconds < 10) == (4, True)
    assert "the broker refuses the token" in caplog.text
    assert token not in f"{found} {ended} {caplog.text}"


# aiokafka forgets a connection that it was opening when its client was closed, and here one is opened every second.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_the_service_lives_longer_than_its_tokens(
    secured: NodeCluster, job: Job, tokens: TokenEndpoint, model: Model, capsys: Capture
) -> None:
    """The broker hangs up when a token expires: we come back with a new one, and nothing is lost or written twice."""
    tokens.seconds = 2
    count = 60

    def feed() -> None:
        for _ in range(count - 1):
            job.put([Item(GOOD, partition=0)])
            time.sleep(0.1)

    job.put([Item(GOOD, partition=0)])
    wanted = settings(job, secured.address("SASL_PLAINTEXT"), user("OAUTHBEARER", tokens))
    ended = ends(serve(wanted, model, count, feed), capsys)
    assert (ended.code, ended.said) == (0, "")
    assert len({record.source for record in job.results(count)}) == len(job.results()) == count
    assert len(tokens.asked) >= 6, "two clients, each let in at least three times"
    gc.collect()  # While that warning is ignored.
