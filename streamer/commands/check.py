"""`streamer check`: settings, model, brokers, topics and permissions, before anything runs."""

from __future__ import annotations

from streamer.kafka import KafkaFault, check_cluster
from streamer.models.artefact import ModelError
from streamer.printable import printable, without_credentials
from streamer.service.build import load_model
from streamer.service.worker import can_trace
from streamer.settings import Settings


async def check(settings: Settings, *, create_topics: bool, partitions: int, replication: int) -> None:
    """Print a line for each finding. `partitions` and `replication` apply to topics that are created.

    Raises SettingsError, ModelError and KafkaFault if the service could not run.
    """
    can_trace(settings)
    _print("ok", "settings", "valid")
    if rules := settings.moderation.rules:
        names = ", ".join(rule.name for rule in rules)
        _print("ok", "moderation", f"{names}; what none of them matches: {settings.moderation.default}")
    model_error: ModelError | None = None
    try:
        manifest = load_model(settings).manifest
        _print("ok", "model", f"{manifest.name} {manifest.version} gives its golden scores")
    except ModelError as error:  # Raised at the end, so that the cluster is checked anyway.
        _print("error", "model", str(error))
        model_error = error
    findings = await check_cluster(settings, create_topics, partitions, replication)
    for finding in findings:
        _print(finding.severity, finding.subject, finding.detail)
    if model_error is not None:
        raise model_error
    if errors := sum(not finding.ok for finding in findings):
        raise KafkaFault(f"the service cannot run on this cluster: {errors} of {len(findings)} findings are errors")


def _print(severity: str, subject: str, detail: str) -> None:
    print(f"{severity:8} {printable(subject)}: {printable(without_credentials(detail), None)}", flush=True)
