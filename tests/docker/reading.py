"""The files of docker/, parsed as those would parse them who use them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
KUBERNETES = DOCKER / "kubernetes"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()


def compose() -> dict[str, Any]:
    """The compose file, with what it merges merged."""
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def manifests() -> dict[str, dict[str, Any]]:
    """Kubernetes' objects by the name of their file; each file has one."""
    return {
        path.name: yaml.safe_load(path.read_text())
        for path in sorted(KUBERNETES.glob("*.yaml"))
        if path.name != "kustomization.yaml"
    }


def deployment() -> dict[str, Any]:
    """The pod's specification."""
    found: dict[str, Any] = manifests()["deployment.yaml"]["spec"]["template"]["spec"]
    return found


def pod_environment() -> dict[str, str]:
    """What the ConfigMap gives the workers."""
    lines = (KUBERNETES / "streamer.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """Each set of `STREAMER_*` variables that a process of ours is started with, and where it stands."""
    for name, service in services().items():
        given = {key: str(value) for key, value in service.get("environment", {}).items()}
        if ours := {key: value for key, value in given.items() if key.startswith("STREAMER_")}:
            yield f"compose: {name}", ours
    secret = manifests()["secret.example.yaml"]["stringData"]
    yield "kubernetes", pod_environment() | secret
    image = dict(re.findall(r"(STREAMER_[A-Z0-9_]+)=(\S+)", DOCKERFILE))
    yield "Dockerfile", image


def images() -> Iterator[tuple[str, str]]:
    """Every image that is run or built on, and where it stands."""
    for name, service in services().items():
        yield f"compose: {name}", service["image"]
    for container in deployment()["containers"]:
        yield "kubernetes", container["image"]
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    stages = set(re.findall(r"^FROM .* AS (\S+)$", DOCKERFILE, re.MULTILINE))
    for source in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        resolved = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], source)
        if resolved not in stages:
            yield "Dockerfile", resolved
