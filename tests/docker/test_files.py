"""The files of docker/: they parse, agree with the code and with each other, and open nothing to a network."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from streamer import __version__
from streamer.settings import PREFIX, PipelineSettings, Settings, load
from tests.brokers.container import IMAGE as KAFKA_OF_THE_TESTS
from tests.docker.reading import (
    DOCKER,
    DOCKERFILE,
    KUBERNETES,
    ROOT,
    compose,
    deployment,
    environments,
    images,
    manifests,
    pod_environment,
    services,
)

CONFIG = f"{PREFIX}CONFIG"
YAMLS = sorted(path for path in DOCKER.rglob("*") if path.suffix in (".yaml", ".yml"))
# Booleans and numbers of YAML 1.1 that are text, or other numbers, in YAML 1.2.
AMBIGUOUS = re.compile(r"(?i:y|n|yes|no|on|off)|[-+]?0[0-7_]+|[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?|\d[\d_]*_[\d_]*")


def take(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Set them for this test, with Compose's defaults put in; returns the names. The file of settings is not theirs."""
    ours = [name for name in variables if name != CONFIG]
    for name in ours:
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*)\}", r"\1", variables[name]))
    return ours


def tour(service: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a service of the tour, as its process reads them."""
    given = services()[service]
    mounted = {inside: outside for outside, inside, *_ in (volume.split(":") for volume in given["volumes"])}
    monkeypatch.setenv(CONFIG, str(DOCKER / mounted[given["environment"][CONFIG]]))
    take(given["environment"], monkeypatch)
    return load()


@pytest.mark.parametrize(("where", "variables"), list(environments()), ids=[where for where, _ in environments()])
def test_variables_are_settings(where: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own reader, which refuses names that it does not know, reads each as the value that stands there."""
    names = take(variables, monkeypatch)
    settings = load()
    for name in names:
        found: Any = settings
        for part in name.removeprefix(PREFIX).lower().split("__"):
            found = getattr(found, part)
        value = found.get_secret_value() if isinstance(found, SecretStr) else found
        text = os.environ[name]
        assert (str(value) if isinstance(value, str | Path) else json.dumps(value)) == text, name


@pytest.mark.parametrize("service", ["streamer", "replay", "dashboard"])
def test_the_tour_s_settings_are_right(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """File and variables together; all of them talk to the one broker."""
    settings = tour(service, monkeypatch)
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert "PLAINTEXT://kafka:9092" in services()["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_the_tour_makes_the_topics_that_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, and no other; as many partitions for what goes by the partition of its review."""
    script = services()["topics"]["command"][-1]
    made = dict(re.findall(r"^make --topic (\S+) --partitions (\d+)", script, re.MULTILINE))
    settings = tour("streamer", monkeypatch)
    source, output = settings.input.topic, settings.output.topic
    assert made.keys() == {
        source,
        output,
        settings.dead_letter_topic,
        f"{output}.trends",
        f"{output}.review",
        f"{output}.verdicts",
    }
    assert len({made[name] for name in (source, output, f"{output}.trends", f"{output}.review")}) == 1
    assert "--topic reviews.labelled.verdicts --partitions 1 --config cleanup.policy=compact" in script


def test_scaling_follows_the_lag_of_the_workers() -> None:
    """The ScaledObject asks for the brokers, the group and the topic that the pods use, and scales their Deployment."""
    given, spec = pod_environment(), manifests()["scaledobject.yaml"]["spec"]
    (trigger,) = spec["triggers"]
    asked = trigger["metadata"]
    assert trigger["type"] == "kafka"
    assert asked["bootstrapServers"] == given["STREAMER_KAFKA__BOOTSTRAP_SERVERS"]
    assert asked["consumerGroup"] == given["STREAMER_KAFKA__GROUP_ID"]
    assert asked["topic"] == given["STREAMER_INPUT__TOPIC"]
    assert spec["scaleTargetRef"]["name"] == manifests()["deployment.yaml"]["metadata"]["name"]
    assert spec["minReplicaCount"] < spec["maxReplicaCount"]


@pytest.mark.parametrize("service", services())
def test_ports_are_published_on_loopback(service: str) -> None:
    """By the short form with an address; nobody shares the host's network."""
    for port in services()[service].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:[\d-]+:[\d-]+", port)
    assert "network_mode" not in services()[service]


@pytest.mark.parametrize("service", services())
def test_containers_are_confined(service: str) -> None:
    """No capability, none to be gained, nothing written to the image, and no engine to talk to."""
    given = services()[service]
    assert given["cap_drop"] == ["ALL"] and "cap_add" not in given and "privileged" not in given
    assert given["security_opt"] == ["no-new-privileges:true"]
    assert given["read_only"] is True
    assert not any("docker.sock" in volume for volume in given.get("volumes", ()))


@pytest.mark.parametrize(("where", "image"), sorted(set(images())))
def test_images_are_pinned(where: str, image: str) -> None:
    """To a full version; our own to that of the code, Kafka's to what the tests run on."""
    name, _, tag = image.partition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+([-.\w]*)", tag), image
    if name == "sentiment-streamer":
        assert tag == __version__
    if name == "apache/kafka":
        assert image == KAFKA_OF_THE_TESTS


def test_what_depends_on_a_service_waits_for_it() -> None:
    """Until it is healthy, or is done; and what is waited for has a health check."""
    given = services()
    for name, service in given.items():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] in ("service_healthy", "service_completed_successfully"), name
            if how["condition"] == "service_healthy":
                assert "test" in given[other]["healthcheck"], f"{name} waits for {other}"
            else:
                assert given[other]["restart"] == "no"


def readings(node: yaml.Node | None) -> Iterator[str]:
    """What readers of YAML do not agree on: merging a list, a key that comes twice, and plain words such as `no`."""
    if isinstance(node, yaml.ScalarNode):
        if node.style is None and AMBIGUOUS.fullmatch(node.value):
            yield f"line {node.start_mark.line + 1}: {node.value} without quotes"
    elif isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        for key, content in node.value:
            if keys.count(key.value) > 1:
                yield f"line {key.start_mark.line + 1}: {key.value} comes twice"
            if key.value == "<<" and not isinstance(content, yaml.MappingNode):
                yield f"line {key.start_mark.line + 1}: a merge of several"
            yield from readings(content)
    elif isinstance(node, yaml.SequenceNode):
        for content in node.value:
            yield from readings(content)


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.relative_to(DOCKER).as_posix())
def test_yaml_can_be_read_in_one_way_only(path: Path) -> None:
    """Whatever the reader and its version: PyYAML 6.0.4 merges a list in another order than 6.0.3."""
    for document in yaml.compose_all(path.read_text(), Loader=yaml.SafeLoader):
        assert list(readings(document)) == []


def test_yaml_that_can_be_read_in_two_ways_is_found() -> None:
    """A merge of several, a key that comes twice, and a word that is a boolean or a number to some readers."""
    text = "a: &a {x: no}\nb: &b {x: 'no'}\nc: {<<: [*a, *b]}\nd: 010\nd: 1:30\ne: {<<: *b, x: true}\n"
    assert set(readings(yaml.compose(text, Loader=yaml.SafeLoader))) == {
        "line 1: no without quotes",
        "line 3: a merge of several",
        "line 4: 010 without quotes",
        "line 4: d comes twice",
        "line 5: 1:30 without quotes",
        "line 5: d comes twice",
    }


def test_mounted_files_are_there() -> None:
    """Docker makes a folder of what is missing, and the service a riddle of that."""
    for service in services().values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), source
                assert volume.endswith(":ro"), volume
            else:
                assert source in compose()["volumes"]


def test_prometheus_asks_the_workers_of_the_tour() -> None:
    """Each by the name of its service, on a port that a worker has; and Grafana asks Prometheus."""
    given = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    (targets,) = [
        job["static_configs"][0]["targets"] for job in given["scrape_configs"] if job["job_name"] == "streamer"
    ]
    command, first = services()["streamer"]["command"], Settings.model_fields["http"].default.port
    workers = int(command[command.index("--workers") + 1])
    assert targets == [f"streamer:{first + number}" for number in range(workers)]
    assert services()["streamer"]["healthcheck"]["test"][-1] == str(workers)
    source = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


def test_the_broker_may_run_what_it_unpacks() -> None:
    """Kafka's zstd is a library that it puts into /tmp: on a tmpfs without `exec` it refuses every message of ours."""
    (tmp,) = [mount for mount in services()["kafka"]["tmpfs"] if mount.startswith("/tmp:")]  # noqa: S108  # The container's.
    assert "exec" in tmp.split(":")[1].split(",")


def test_processes_have_time_to_drain() -> None:
    """Docker and Kubernetes kill later than the worker gives up."""
    drain = PipelineSettings().drain_timeout_ms / 1000
    assert int(services()["streamer"]["stop_grace_period"].removesuffix("s")) >= drain + 10
    drain = int(pod_environment()["STREAMER_PIPELINE__DRAIN_TIMEOUT_MS"]) / 1000
    assert deployment()["terminationGracePeriodSeconds"] >= drain + 10


def test_the_image_runs_as_the_user_that_kubernetes_says() -> None:
    """By number, as runAsNonRoot wants it."""
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    security = deployment()["securityContext"]
    assert user == (str(security["runAsUser"]), str(security["runAsGroup"]))
    assert security["runAsNonRoot"] is True and int(user[0]) > 0


def test_the_image_has_a_target_for_each_device() -> None:
    """The CPU's is last, and so what a build without --target gives; both are made of what nothing is compiled in."""
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert stages[-2:] == [("runtime", "cuda"), ("runtime", "cpu")]
    assert dict((name, base) for base, name in stages)["runtime"] == "${PYTHON}"
    (copied,) = re.findall(r"^COPY (docker/\S+)", DOCKERFILE, re.MULTILINE)
    assert f"!{copied}" in (DOCKER / "Dockerfile.dockerignore").read_text()


def test_the_image_s_extras_are_the_project_s() -> None:
    """A name misspelt would be installed as nothing."""
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_kustomize_takes_what_is_there() -> None:
    """Every manifest but the example, and no file that is missing."""
    given = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    assert set(given["resources"]) == manifests().keys() - {"secret.example.yaml"}
    (generated,) = given["configMapGenerator"]
    assert generated == {"name": "streamer", "envs": ["streamer.env"]}
    (pod,) = deployment()["containers"]
    assert {"configMapRef": {"name": generated["name"]}} in pod["envFrom"]


def test_probes_ask_pages_that_are_there() -> None:
    """On the port that the settings say."""
    (pod,) = deployment()["containers"]
    pages = {probe: pod[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe: page["path"] for probe, page in pages.items()} == {
        "startupProbe": "/health/live",
        "livenessProbe": "/health/live",
        "readinessProbe": "/health/ready",
    }
    assert pod["ports"] == [{"name": "http", "containerPort": int(pod_environment()["STREAMER_HTTP__PORT"])}]
    assert {page["port"] for page in pages.values()} == {"http"}
    assert manifests()["service.yaml"]["spec"]["selector"] == {"app.kubernetes.io/name": "streamer"}
