"""People's decisions as labelled reviews, read from an export of the verdict topic or from the topic itself.

Only with `--verdicts`. The decisions must carry the texts of the reviews, which the operator of the service has to
allow (`moderation.verdict_text`).

export or topic -> (key, decision or tombstone) -> the newest for each review -> {"text", "label"}
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from streamer.formats.schema import ModerationDecision
from streamer.moderation.decisions import DecisionError, decode, key_of
from training.labels import LABELS, NEGATIVE, POSITIVE, Label
from training.recipe import Recipe, RecipeError, Source
from training.sources.tables import DataError, read_file
from training.sources.tables import decode as decode_text

TOPIC = "topic"  # Means the verdict topic, where otherwise a file is named.
ACTIONS = ("allow", "block")
_POLL_SECONDS = 0.5

Report = Callable[[str], None]


class DecisionMessage(NamedTuple):
    """A message of the verdict topic; a tombstone has no decision. `line` is where it was read, counted from 1."""

    key: str
    decision: ModerationDecision | None
    line: int


def with_decisions(
    recipe: Recipe, origin: str, folder: Path, report: Report, *, labels: str | None, language: str, force: bool
) -> Recipe:
    """The recipe with people's decisions added as a source; the table, and the export of a topic, stay in `folder`.

    origin: an export, or `topic`. The topic is read once for each folder, unless forced. labels: `block=negative,...`.
    Raises RecipeError and DataError.
    """
    action_labels = _parse_action_labels(labels)
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(origin)
    if origin == TOPIC:
        path = folder / "verdicts.export.jsonl"
        if path.exists() and not force:
            report(f"decisions: those in {path}, read before; --force reads the topic again")
        else:
            path.write_bytes(asyncio.run(_read_topic()))
    rows = labelled_rows(read_export(path), action_labels, str(path), report)
    source = _source(_save_table(rows, folder), rows, language)
    if any(other.name == source.name for other in recipe.data):
        raise RecipeError("--verdicts: the recipe has a source named verdicts of its own")
    return recipe.model_copy(update={"data": (*recipe.data, source)})


def _save_table(rows: Iterable[Mapping[str, str]], folder: Path) -> Path:
    """Write the rows as JSON Lines, named by their digest: later decisions do not overwrite what a run was made of."""
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path = folder / f"verdicts-{hashlib.sha256(content).hexdigest()[:12]}.jsonl"
    path.write_bytes(content)
    return path


def _source(table: Path, rows: Iterable[Mapping[str, str]], language: str) -> Source:
    found = {row["label"] for row in rows}
    return Source(
        name="verdicts",
        language=language,
        path=str(table.resolve()),
        positive=(POSITIVE,) if POSITIVE in found else (),
        negative=(NEGATIVE,) if NEGATIVE in found else (),
        origin="verdicts of moderators",
        licence="yours",
    )


def _parse_action_labels(text: str | None) -> dict[str, Label]:
    """The label that each action stands for: `block=negative,allow=positive`. Raises RecipeError."""
    known = {str(label): label for label in LABELS}
    action_labels: dict[str, Label] = {}
    for given in text.split(",") if text else ():
        action, _, label = (part.strip() for part in given.partition("="))
        if action not in ACTIONS or label not in known or action in action_labels:
            example = f"block={NEGATIVE},allow={POSITIVE}"
            raise RecipeError(f"--verdict-labels {text}: write it as {example}, or one of the two")
        action_labels[action] = known[label]
    return action_labels


def read_export(path: Path) -> Iterator[DecisionMessage]:
    """The messages of an export, in its order: a JSON object on each line, compressed when the name ends in .gz.

    Either `{"key": ..., "payload": ...}`, as kcat -J writes them, where the payload is a string, an object or null; or
    the value alone, which cannot express tombstones. Raises DataError with the line.
    """
    name = str(path)
    for number, line in enumerate(decode_text(read_file(path), name, "utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError:
            raise DataError("not JSON", name, number) from None
        if not isinstance(found, dict):
            raise DataError("neither a decision nor an object with key and payload (kcat -J)", name, number)
        try:
            yield _message(found, line, number)
        except DecisionError as error:
            raise DataError(f"not a decision: {error}", name, number) from None


def _message(found: Mapping[str, Any], line: str, number: int) -> DecisionMessage:
    if "payload" not in found:
        decision = decode(line.encode())
        return DecisionMessage(key_of(decision["source"]).decode(), decision, number)
    key, payload = found.get("key"), found["payload"]
    if not isinstance(key, str):
        raise DecisionError("key: not a text")
    if payload is None:
        return DecisionMessage(key, None, number)
    return DecisionMessage(key, decode((payload if isinstance(payload, str) else json.dumps(payload)).encode()), number)


def labelled_rows(
    messages: Iterable[DecisionMessage], action_labels: Mapping[str, Label], name: str, report: Report
) -> list[dict[str, str]]:
    """Text and label of each review that was decided on; the newest decision counts, and a tombstone takes it back.

    The label is the one that the person gave, else what the action stands for. A decision with neither is left out,
    and so is one without a text. Raises DataError when nothing is left.
    """
    newest: dict[str, DecisionMessage] = {}
    outcomes: Counter[str] = Counter()
    for message in messages:
        outcomes["read"] += 1
        newest.pop(message.key, None)  # So that the rows are in the order of the newest decisions.
        newest[message.key] = message
    rows: list[dict[str, str]] = []
    for key, decision, _ in newest.values():
        if decision is None:
            outcomes["taken back"] += 1
            continue
        label = decision.get("label") or action_labels.get(decision["action"])
        if label is None:
            outcomes[f"{decision['action']} without a label"] += 1
        elif label not in LABELS:
            outcomes["with a label that is not trained on"] += 1
        elif not (text := decision.get("text", "")).strip():
            outcomes["without a text"] += 1
        else:
            rows.append({"text": text, "label": label, "review": key})
            outcomes[label] += 1
    report(f"decisions: {', '.join(f'{count} {outcome}' for outcome, count in outcomes.items()) or 'none'}")
    if not rows:
        raise DataError(_why_nothing_is_left(outcomes), name)
    return rows


def _why_nothing_is_left(outcomes: Counter[str]) -> str:
    if outcomes["without a text"]:
        return "no decision has a text: set moderation.verdict_text, and from then on they do"
    if any(outcome.endswith("label") for outcome in outcomes):
        return f"no decision has a label: say what the actions mean, --verdict-labels block={NEGATIVE}"
    return "no decision in it"


async def _read_topic() -> bytes:
    """The whole verdict topic, in lines that `read_export` reads. Raises DataError."""
    # Imported here: training without decisions needs no Kafka.
    from streamer.kafka import KafkaFault, TopicMissing, TopicReader
    from streamer.settings import SettingsError, load, warn_of_old_names

    lines: list[bytes] = []
    try:
        settings = load()
        warn_of_old_names()
        async with TopicReader(settings.kafka, settings.verdict_topic, start="beginning") as reader:
            ends = await reader.ends()
            while any(at < ends[partition] for partition, at in (await reader.positions()).items()):
                for record in await reader.poll(_POLL_SECONDS):
                    key = (record.key or b"").decode(errors="replace")
                    payload = None if record.value is None else record.value.decode(errors="replace")
                    lines.append(json.dumps({"key": key, "payload": payload}, ensure_ascii=False).encode())
    except (SettingsError, KafkaFault, TopicMissing) as error:
        raise DataError(str(error), "the verdict topic") from None
    return b"".join(line + b"\n" for line in lines)
