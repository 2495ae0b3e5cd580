"""The Kubernetes manifests, against the schemas of Kubernetes and KEDA."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.docker.reading import manifests

KUBERNETES_VERSIONS = ("1.29", "1.37")  # The oldest that we look at, and the newest.
HERE = Path(__file__).parent
# What KEDA's Kafka scaler reads from a trigger: the names in pkg/scalers/kafka_scaler.go of KEDA 2.20.2.
KAFKA_TRIGGER = {
    "bootstrapServers",
    "consumerGroup",
    "topic",
    "partitionLimitation",
    "lagThreshold",
    "activationLagThreshold",
    "offsetResetPolicy",
    "allowIdleConsumers",
    "excludePersistentLag",
    "scaleToZeroOnInvalidOffset",
    "limitToPartitionsWithLag",
    "ensureEvenDistributionOfPartitions",
    "version",
    "tls",
    "unsafeSsl",
    "sasl",
    "saslTokenProvider",
    "awsRegion",
}


def scaled_object(manifest: dict[str, Any]) -> None:
    """Against the schema of its CustomResourceDefinition; raises ValidationError."""
    crd = yaml.safe_load((HERE / "keda-scaledobject.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own, which the definition leaves out.
    jsonschema.validate(manifest, schema)


def strict(schema: Any) -> Any:
    """As `kubectl` with strict validation: a field that the schema does not name is an error, not dropped."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


NATIVE = {name: found for name, found in manifests().items() if found["apiVersion"] != "keda.sh/v1alpha1"}


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("name", NATIVE)
def test_kubernetes_takes_the_manifests(name: str, version: str) -> None:
    """With every field known to it."""
    kubernetes_validate.validate(NATIVE[name], version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    """The check above can fail."""
    wrong = copy.deepcopy(NATIVE["deployment.yaml"])
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES_VERSIONS[-1], strict=True)


def test_keda_takes_the_scaled_object() -> None:
    """And its trigger has names that the Kafka scaler reads; all of its values are strings."""
    manifest = manifests()["scaledobject.yaml"]
    scaled_object(manifest)
    for trigger in manifest["spec"]["triggers"]:
        assert trigger["metadata"].keys() <= KAFKA_TRIGGER


@pytest.mark.parametrize("wrong", [{"minReplicas": 2}, {"maxReplicaCount": "12"}, {"triggers": [{"metadata": {}}]}])
def test_what_keda_does_not_take_is_found(wrong: dict[str, Any]) -> None:
    """The check above can fail."""
    manifest = manifests()["scaledobject.yaml"]
    with pytest.raises(jsonschema.ValidationError):
        scaled_object({**manifest, "spec": manifest["spec"] | wrong})
