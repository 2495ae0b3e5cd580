"""People's verdicts as labelled reviews: an export of the verdict topic, or the topic itself, becomes a table.

Only with `--verdicts`. The verdicts must carry the reviews' texts, which the operator of the service has to allow
(`moderation.verdict_text`).

export, topic -> (key, verdict or tombstone) -> the newest of each review -> {"text", "label"}
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from streamer.formats.schema import ModerationDecision
from streamer.moderation.decisions import DecisionError, decode, key_of
from training.recipe import Recipe, RecipeError, Source
from training.rows import DataError, read_bytes
from training.rows import decode as as_text

TOPIC = "topic"  # What stands for the verdict topic where a file could be named.
Label = Literal["positive", "negative"]
_POLL_SECONDS = 0.5


class Prediction(NamedTuple):
    """A message of the verdict topic; None where it is a tombstone. `line` is where it was read, from 1."""

    key: str
    verdict: ModerationDecision | None
    line: int


def with_verdicts(
    recipe: Recipe, place: str, labels: str | None, language: str, folder: Path, force: bool, say: Callable[[str], None]
) -> Recipe:
    """The recipe with what people decided added as a source; the table and, of a topic, the export stay in `folder`.

    place: an export, or `topic`, which is read once for a folder, unless forced. labels: `block=negative,...`.
    Raises RecipeError and DataError.
    """
    meaning = _meaning(labels)
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(place)
    if place == TOPIC:
        path = folder / "verdicts.export.jsonl"
        if path.exists() and not force:
            say(f"verdicts: those of {path}, read before; --force reads the topic again")
        else:
            path.write_bytes(asyncio.run(_exported()))
    table = labelled(exported(path), meaning, str(path), say)
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table).encode()
    # By its content: what a run was made of is not overwritten by what came later.
    kept = folder / f"verdicts-{hashlib.sha256(content).hexdigest()[:12]}.jsonl"
    kept.write_bytes(content)
    there = {row["label"] for row in table}
    source = Source(
        name="verdicts",
        language=language,
        path=str(kept.resolve()),
        positive=("positive",) if "positive" in there else (),
        negative=("negative",) if "negative" in there else (),
        origin="verdicts of moderators",
        licence="yours",
    )
    if any(other.name == source.name for other in recipe.data):
        raise RecipeError("--verdicts: the recipe has a source named verdicts of its own")
    return recipe.model_copy(update={"data": (*recipe.data, source)})


def _meaning(labels: str | None) -> dict[str, Label]:
    meaning: dict[str, Label] = {}
    for given in labels.split(",") if labels else ():
        action, _, label = (part.strip() for part in given.partition("="))
        if action not in ("allow", "block") or label not in ("positive", "negative") or action in meaning:
            raise RecipeError(
                f"--verdict-labels {labels}: write it as block=negative,allow=positive, or one of the two"
            )
        meaning[action] = "positive" if label == "positive" else "negative"
    return meaning


def exported(path: Path) -> Iterator[Prediction]:
    """The messages of an export, in its order: a JSON object a line, .gz or not.

    Either `{"key": ..., "payload": ...}`, as kcat -J writes them, the payload a text, an object or null; or the value
    alone, which can tell of no tombstones. Raises DataError with the line.
    """
    name = str(path)
    for number, line in enumerate(as_text(read_bytes(path), name, "utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError:
            raise DataError("not JSON", name, number) from None
        if not isinstance(found, dict):
            raise DataError("neither a verdict nor an object with key and payload (kcat -J)", name, number)
        try:
            yield _message(found, line, number)
        except DecisionError as error:
            raise DataError(f"no verdict: {error}", name, number) from None


def _message(found: Mapping[str, Any], line: str, number: int) -> Prediction:
    if "payload" not in found:
        verdict = decode(line.encode())
        return Prediction(key_of(verdict["source"]).decode(), verdict, number)
    key, payload = found.get("key"), found["payload"]
    if not isinstance(key, str):
        raise DecisionError("key: not a text")
    if payload is None:
        return Prediction(key, None, number)
    return Prediction(key, decode((payload if isinstance(payload, str) else json.dumps(payload)).encode()), number)


def labelled(
    verdicts: Iterator[Prediction], meaning: Mapping[str, Label], name: str, say: Callable[[str], None]
) -> list[dict[str, str]]:
    """Text and label of each review on which there is a verdict; the newest counts, and a tombstone takes it back.

    The label is the person's own, else what the action means; without either a verdict is left out, and so is one
    without a text. Raises DataError where no text is left at all.
    """
    newest: dict[str, Prediction] = {}
    fates: Counter[str] = Counter()
    for read in verdicts:
        fates["read"] += 1
        newest.pop(read.key, None)  # In the order of what counts.
        newest[read.key] = read
    rows: list[dict[str, str]] = []
    for key, verdict, _ in newest.values():
        if verdict is None:
            fates["taken back"] += 1
            continue
        label = verdict.get("label") or meaning.get(verdict["action"])
        if label is None:
            fates[f"{verdict['action']} without a label"] += 1
        elif not (text := verdict.get("text", "")).strip():
            fates["without a text"] += 1
        else:
            rows.append({"text": text, "label": label, "review": key})
            fates[label] += 1
    told = ", ".join(f"{count} {fate}" for fate, count in fates.items())
    say(f"verdicts: {told or 'none'}")
    if rows:
        return rows
    if fates["without a text"]:
        raise DataError("no verdict has a text: set moderation.verdict_text, from when on they do", name)
    if any(fate.endswith("label") for fate in fates):
        raise DataError("no verdict has a label: say what they mean, --verdict-labels block=negative", name)
    raise DataError("no verdict in it", name)


async def _exported() -> bytes:
    """All of the verdict topic, as lines that `exported` reads. Raises DataError."""
    # Late: who trains without it needs no broker.
    from streamer.kafka import KafkaFault, TopicMissing, TopicReader
    from streamer.settings import SettingsError, load

    lines: list[bytes] = []
    try:
        settings = load()
        async with TopicReader(settings.kafka, settings.verdict_topic, start="beginning") as tail:
            ends = await tail.ends()
            while any(at < ends[partition] for partition, at in (await tail.positions()).items()):
                for record in await tail.poll(_POLL_SECONDS):
                    key = (record.key or b"").decode(errors="replace")
                    payload = None if record.value is None else record.value.decode(errors="replace")
                    lines.append(json.dumps({"key": key, "payload": payload}, ensure_ascii=False).encode())
    except (SettingsError, KafkaFault, TopicMissing) as error:
        raise DataError(str(error), "the verdict topic") from None
    return b"".join(line + b"\n" for line in lines)
