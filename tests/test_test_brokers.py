"""The brokers that the tests run on: they do what tests rely on, and leave nothing behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from tests.brokers import (
    Chain,
    Cluster,
    MakeTopic,
    NodeCluster,
    Provider,
    StartCluster,
    Unavailable,
    Wanted,
    container,
    embedded,
    new_topic,
    providers,
)
from tests.brokers.ports import ReservedPorts
from tests.checkers import Position
from tests.reading import Item, committed, end_offsets, fill, read_all

GUARDED = """
import subprocess, sys, time
from tests.brokers.watchdog import Watchdog
watchdog = Watchdog()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
watchdog.guard(child.pid)
print(watchdog.folder, flush=True)
time.sleep(60)
"""


def eventually(true: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until it is true."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(0.05)


def leader(bootstrap: str, topic: str) -> int:
    """The broker id of partition 0's leader, as somebody who has just come sees it; -1 when there is none."""
    found = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(topic, timeout=5)
    return found.topics[topic].partitions[0].leader


def test_what_is_filled_is_read(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Whatever the provider: partitions, keys, values, tombstones, headers and timestamps."""
    topic = make_topic(3)
    items = [
        Item(
            b"v%d" % number if number else None,
            key=b"k%d" % number,
            partition=number % 3,
            headers=(("h", b"x"), ("none", None)),
            timestamp_ms=1_600_000_000_000 + number,
        )
        for number in range(9)
    ]
    produced = fill(cluster.bootstrap, topic, items, compression="lz4")
    assert produced == {Position(topic, n % 3, n // 3): b"k%d" % n for n in range(9)}
    records = {record.position: record for record in read_all(cluster.bootstrap, topic)}
    assert {
        position: Item(record.value, record.key, position.partition, record.headers, record.timestamp_ms)
        for position, record in records.items()
    } == {Position(topic, number % 3, number // 3): item for number, item in enumerate(items)}
    assert end_offsets(cluster.bootstrap, topic) == {0: 3, 1: 3, 2: 3}
    assert committed(cluster.bootstrap, "nobody", topic) == {}


def test_reading_stops_short_of_what_was_expected(cluster: Cluster, make_topic: MakeTopic) -> None:
    """After its time it returns what there is; a result that comes twice counts once."""
    topic = make_topic()
    fill(cluster.bootstrap, topic, [Item(b"", headers=(("ce_id", b"in/0/0"),))] * 2)
    assert len(read_all(cluster.bootstrap, topic, expected=1)) == 2
    assert len(read_all(cluster.bootstrap, topic, expected=2, timeout_s=0.5)) == 2


@pytest.mark.requires("storage")
def test_a_hundred_thousand_records_are_filled_quickly(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Within seconds, and none is dropped."""
    topic = make_topic(4)
    items = [Item(b"x" * 100, key=b"%d" % number, partition=number % 4) for number in range(100_000)]
    started = time.monotonic()
    assert len(fill(cluster.bootstrap, topic, items)) == len(items)
    assert len(read_all(cluster.bootstrap, topic)) == len(items)
    assert time.monotonic() - started < 20


@pytest.mark.requires("admin")
def test_a_topic_has_the_settings_asked_for(cluster: Cluster, make_topic: MakeTopic) -> None:
    """A message over the topic's limit is refused."""
    topic = make_topic(max_message_bytes="1000")
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        fill(cluster.bootstrap, topic, [Item(b"x" * 2000)])


@pytest.mark.requires("transactions")
def test_an_aborted_transaction_is_not_read(cluster: Cluster, make_topic: MakeTopic) -> None:
    """Except by who asks for it."""
    topic = make_topic()
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(10)
    for value, end in ((b"aborted", producer.abort_transaction), (b"kept", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush(10)
        end(10)
    assert [record.value for record in read_all(cluster.bootstrap, topic)] == [b"kept"]
    both = read_all(cluster.bootstrap, topic, committed_only=False)
    assert [record.value for record in both] == [b"aborted", b"kept"]


@pytest.mark.slow
def test_a_node_of_one_s_own_survives_what_is_done_to_it(start_cluster: StartCluster) -> None:
    """Its properties are in force; killed and started, or restarted, it has its data; paused it hangs."""
    cluster = start_cluster(properties={"message.max.bytes": "5000"})
    topic = new_topic(cluster)
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        fill(cluster.bootstrap, topic, [Item(b"x" * 10_000)])
    fill(cluster.bootstrap, topic, [Item(b"1")])
    cluster.kill(1)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(cluster.bootstrap.rpartition(":")[2])))
    cluster.start(1)
    fill(cluster.bootstrap, topic, [Item(b"2")])
    cluster.restart(1)
    assert [record.value for record in read_all(cluster.bootstrap, topic)] == [b"1", b"2"]

    cluster.pause(1)
    with pytest.raises(TimeoutError):
        fill(cluster.bootstrap, topic, [Item(b"lost")], timeout_s=1)
    cluster.resume(1)
    fill(cluster.bootstrap, topic, [Item(b"3")])
    assert b"3" in {record.value for record in read_all(cluster.bootstrap, topic)}


@pytest.mark.slow
def test_a_listener_that_asks_for_a_password_gets_it(start_cluster: StartCluster) -> None:
    """Listeners beside the plain one are set up by properties."""
    users = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_me="secret";'
    cluster = start_cluster(
        properties={
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": users,
        },
        listeners=("SASL_PLAINTEXT",),
    )
    topic = new_topic(cluster)
    address = cluster.address("SASL_PLAINTEXT")
    me = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "me"}
    assert len(fill(address, topic, [Item(b"")], settings=me | {"sasl.password": "secret"})) == 1
    with pytest.raises(TimeoutError):
        fill(address, topic, [Item(b"")], timeout_s=1, settings=me | {"sasl.password": "wrong"})


@pytest.mark.slow
def test_three_nodes_elect_another_leader_when_one_is_killed(three_nodes: NodeCluster) -> None:
    """What was acknowledged is still there, and the node that comes back catches up."""
    topic = new_topic(three_nodes)
    fill(three_nodes.bootstrap, topic, [Item(b"before")])
    killed = leader(three_nodes.bootstrap, topic)
    three_nodes.kill(killed)
    eventually(lambda: leader(three_nodes.bootstrap, topic) not in (killed, -1))
    fill(three_nodes.bootstrap, topic, [Item(b"after")], idempotent=True)
    assert [record.value for record in read_all(three_nodes.bootstrap, topic)] == [b"before", b"after"]
    three_nodes.start(killed)

    def in_sync() -> bool:
        found = AdminClient({"bootstrap.servers": three_nodes.bootstrap, "log_level": 0}).list_topics(topic, timeout=5)
        return sorted(found.topics[topic].partitions[0].isrs) == [1, 2, 3]

    eventually(in_sync)


def test_a_broker_that_ends_at_the_start_says_why(start_cluster: StartCluster) -> None:
    """By the end of its log; the provider is not to blame, so this is no reason to try another."""
    with pytest.raises(Unavailable, match=r"(?s)node 1 ended with status 1:.*num\.io\.threads"):
        start_cluster(properties={"num.io.threads": "0"})


def test_a_killed_test_run_leaves_no_process_and_no_folder() -> None:
    """The watchdog ends the guarded process, which shares the output pipe, and removes the folder."""
    run = subprocess.Popen([sys.executable, "-c", GUARDED], stdout=subprocess.PIPE, text=True)
    with run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip())
        assert folder.is_dir()
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=10)
    eventually(lambda: not folder.exists())


def test_a_reserved_port_is_free_for_its_server_alone() -> None:
    """A server that sets SO_REUSEADDR can listen on it, again and again; one that does not cannot."""
    with ReservedPorts(3) as reserved:
        assert len(set(reserved.ports)) == 3
        for _ in range(2):
            socket.create_server(("127.0.0.1", reserved.ports[0])).close()
        if sys.platform == "linux":
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", reserved.ports[0]))


@pytest.fixture
def hanging_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Docker engine that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as engine:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{engine.getsockname()[1]}")
        yield


@pytest.mark.usefixtures("hanging_engine")
def test_an_engine_that_hangs_is_passed_over_quickly() -> None:
    """In under two seconds."""
    started = time.monotonic()
    with pytest.raises(Unavailable, match="timed out"):
        container.detect()
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("host", ["unix:///nowhere.sock", "tcp://docker.example:2376", "ssh://me@docker.example"])
def test_no_engine_on_this_machine_is_unavailable(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A far one is not asked: its ports are not ours."""
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(Unavailable, match=r"no engine|not on this machine"):
        container.detect()


def broken(wanted: Wanted) -> Cluster:
    raise Unavailable("no luck today")


def missing_topics() -> str:
    raise Unavailable("not here")


def present() -> str:
    return "present"


EMBEDDED = Provider("embedded", embedded.FEATURES, present, lambda _: embedded.EmbeddedCluster())


def test_the_chain_settles_on_the_first_that_starts() -> None:
    """And says why it passed over the others."""
    chain = Chain(
        [
            Provider("first", frozenset(), missing_topics, broken),
            Provider("second", frozenset({"admin"}), present, broken),
            EMBEDDED,
        ]
    )
    assert chain.describe() == "second (present); not first: not here"
    assert chain.missing(["admin"]) == []
    with chain.running(Wanted()) as cluster:
        assert cluster.bootstrap.startswith("127.0.0.1:")
    assert chain.describe() == "embedded (present); not first: not here; not second: no luck today"
    assert chain.missing(["admin"]) == ["admin"]


def test_a_chain_without_any_broker_says_why() -> None:
    """Both when there is none and when the last does not start."""
    with pytest.raises(Unavailable, match="no broker to test with: not first: not here"):
        _ = Chain([Provider("first", frozenset(), missing_topics, broken)]).provider
    with (
        pytest.raises(Unavailable, match="no luck"),
        Chain([Provider("only", frozenset(), present, broken)]).running(Wanted()),
    ):
        pass


def test_the_environment_chooses_the_provider() -> None:
    """A broker that is given is taken; a name forces its provider; a wrong name is an error."""
    assert [provider.name for provider in providers({})] == ["docker", "maven", "embedded"]
    assert [provider.name for provider in providers({"STREAMER_TEST_BROKER": "maven"})] == ["maven"]
    given = providers({"STREAMER_TEST_BOOTSTRAP": "127.0.0.1:9092", "STREAMER_TEST_BROKER": "maven"})
    assert [provider.name for provider in given] == ["given"]
    with pytest.raises(ValueError, match="not one of docker, maven, embedded"):
        providers({"STREAMER_TEST_BROKER": "rabbit"})
