"""What the docs say is what the code does, as far as a program can tell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from pydantic import BaseModel

from docs import generate
from streamer.commands.exit_codes import Exit
from streamer.events import (
    DeadLetter,
    Headers,
    Prediction,
    Reason,
    Record,
    Review,
    RuleResult,
    Tombstone,
    TopicPartition,
    TrendSample,
    Weight,
)
from streamer.formats.asyncapi import asyncapi
from streamer.formats.encode import Encoder
from streamer.formats.schema import SCHEMA_ID, LabelledReview, json_schema
from streamer.labels import UNNAMED_COLUMNS
from streamer.moderation.decisions import decision_on, encode, encode_undo
from streamer.observe.metrics import Metrics
from streamer.settings import PREFIX, Settings
from streamer.settings.deprecated import RENAMED
from streamer.trends import CountBuffer
from streamer.trends import encode as encode_counts
from streamer.trends.schema import trend_schema
from tests.markdown import Table, tables

GENERATED = generate.generated(generate.FOLDER)
OPERATIONS = (generate.FOLDER / "operations.md").read_text()
TABLES = tables(OPERATIONS)
ENCODER = Encoder(
    topic="out",
    dead_letter_topic="dead",
    group_id="group",
    model_name="bilstm",
    model_version="1.0.0",
    include_input=True,
    review_topic="held",
)
RECORD = Record("reviews", 2, 41, 7, b"k", b'{"text":"a"}', (("mine", b"1"),))
PREDICTION = Prediction("negative", 0.1, 0.9, 1, False, (Weight("a", -2.2),))


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_a_generated_file_is_what_the_code_says(path: Path) -> None:
    """Run `python docs/generate.py` after a change to settings, metrics, events or schema."""
    assert path.read_text() == GENERATED[path]


def test_a_difference_is_told_and_repaired(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """--check names the files that differ and writes nothing."""
    shutil.copy(generate.FOLDER / "operations.md", tmp_path)
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    page = tmp_path / "operations.md"
    page.write_text(page.read_text().replace("| `max_wait_ms` |", "| `wait` |"))
    assert generate.main(["--check"]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["operations.md"]
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert page.read_text() == OPERATIONS


def test_a_page_without_a_place_for_a_table_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By its name, rather than left without the table."""
    (tmp_path / "operations.md").write_text("# Operations\n")
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    with pytest.raises(SystemExit, match=r"operations\.md: 0 places for the settings"):
        generate.main([])
    (tmp_path / "operations.md").write_text(OPERATIONS)
    (tmp_path / "scaling.md").write_text("# Scaling\n")
    with pytest.raises(SystemExit, match=r"scaling\.md: 0 places for the plan"):
        generate.main([])


def test_the_generator_is_a_script(tmp_path: Path) -> None:
    """From any folder."""
    command = [sys.executable, str(generate.FOLDER / "generate.py"), "--check"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# The output event


def event(**changes: Any) -> dict[str, Any]:
    """A result as the encoder makes it, with changes; None takes a field away."""
    made = ENCODER.event(Review(RECORD, "a", "r1", 7, None), PREDICTION, "2026-11-21T08:15:30.250Z")
    value: dict[str, Any] = {**made, "input": {"text": "a"}, **changes}
    return {name: content for name, content in value.items() if name not in changes or content is not None}


def test_the_schema_is_a_schema() -> None:
    """Of draft 2020-12, with a name and an identity."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (schema["$id"], schema["title"]) == (SCHEMA_ID, "LabelledReview")
    assert list(schema["properties"]) == list(LabelledReview.__annotations__)
    assert set(schema["properties"]) - set(schema["required"]) == {"action", "rule", "evidence", "input"}
    assert all("description" in field or "$ref" in field for field in schema["properties"].values())


def test_a_result_is_as_the_schema_says() -> None:
    """With and without what may be missing."""
    validator = Draft202012Validator(json_schema())
    validator.validate(event())
    validator.validate(event(evidence=None, input=None))


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"label": None},
        {"label": ""},
        {"id": 7},
        {"score": 1.1},
        {"score": "0.5"},
        {"confidence": -0.1},
        {"tokens": -1},
        {"tokens": 1.5},
        {"truncated": 0},
        {"event_time": "2026-11-21 08:15:30"},
        {"labelled_at": 7},
        {"model": {"name": "m"}},
        {"model": {"name": "", "version": "1"}},
        {"source": {"topic": "t", "partition": 0, "offset": -1}},
        {"source": {"topic": "t", "partition": 0, "offset": 1, "more": 1}},
        {"evidence": [{"token": "a"}]},
        {"evidence": [["a", 1.0]]},
    ],
)
def test_what_is_no_result_is_refused(changes: dict[str, Any]) -> None:
    """The schema is closed."""
    with pytest.raises(ValidationError):
        Draft202012Validator(json_schema()).validate(event(**changes))


# The topics


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi("reviews", "reviews.labelled", "reviews.dlq", "reviews.held", "verdicts", "reviews.labelled.trends")


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def resolved(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    assert reference.startswith("#/")
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_the_document_has_what_asyncapi_requires(document: dict[str, Any]) -> None:
    """AsyncAPI 3.0: version, info, channels with addresses, operations with an action, messages with a payload."""
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document["info"])
    assert {name: channel["address"] for name, channel in document["channels"].items()} == {
        "input": "reviews",
        "output": "reviews.labelled",
        "deadLetters": "reviews.dlq",
        "held": "reviews.held",
        "verdicts": "verdicts",
        "trends": "reviews.labelled.trends",
        "alerts": None,
    }
    assert all(message["payload"] and message["contentType"] for message in document["components"]["messages"].values())
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for names in document["components"].values() for name in names)
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert "$defs" not in schema, name


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """And every message and schema is used."""
    used = set(references(document))
    assert all(resolved(document, reference) for reference in used)
    components = {f"#/components/{kind}/{name}" for kind, names in document["components"].items() for name in names}
    assert components <= used


def test_operations_use_the_messages_of_their_channels(document: dict[str, Any]) -> None:
    """As AsyncAPI 3.0 requires: by way of the channel."""
    actions = {}
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        actions[channel.removeprefix("#/channels/")] = operation["action"]
        expected = [f"{channel}/messages/{name}" for name in resolved(document, channel)["messages"]]
        assert [message["$ref"] for message in operation["messages"]] == expected
    assert actions.pop("input") == "receive"
    assert actions == dict.fromkeys(("output", "deadLetters", "held", "verdicts", "trends", "alerts"), "send")


def check(document: dict[str, Any], name: str, value: Any) -> None:
    """Against a schema of the document's components."""
    Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]}).validate(value)


def test_what_is_published_is_as_the_document_says(document: dict[str, Any]) -> None:
    """Payloads and headers of results, tombstones and dead letters."""
    labelled = ENCODER.labelled(Review(RECORD, "a", "r1", 7, None), PREDICTION, 7).message
    check(document, "LabelledReview", json.loads(labelled.value or b""))
    check(document, "ResultHeaders", _text(labelled.headers))
    tombstone = ENCODER.tombstone(Tombstone(RECORD), 7).message
    check(document, "Tombstone", tombstone.value)
    check(document, "ResultHeaders", _text(tombstone.headers))
    for reason in Reason:
        dead = ENCODER.dead_letter(DeadLetter(RECORD, reason, "why"), 7).message
        check(document, "DeadLetterHeaders", _text(dead.headers))
    held = ENCODER.labelled(Review(RECORD, "a", "r1", 7, None), PREDICTION, 7, RuleResult("block", "a"))
    assert [message.topic for message in held.messages] == ["out", "held"]
    for message in held.messages:
        check(document, "LabelledReview", json.loads(message.value or b""))
        check(document, "ResultHeaders", _text(message.headers))
    verdict = decision_on(json.loads(held.copies[0].value or b""), "block", "ann", 7, "negative", "a")
    for message in (encode("verdicts", verdict, 7), encode_undo("verdicts", verdict["source"], 7)):
        check(document, "VerdictHeaders", _text(message.headers))
        check(document, "ModerationDecision" if message.value else "Tombstone", json.loads(message.value or b"null"))


def test_the_headers_are_those_that_are_written(document: dict[str, Any]) -> None:
    """All of them and no others, but for the record's own; the reasons are a closed set."""
    schemas = document["components"]["schemas"]
    labelled = ENCODER.labelled(Review(RECORD, "a", "r1", 7, None), PREDICTION, 7).message
    dead = ENCODER.dead_letter(DeadLetter(RECORD, Reason.NOT_JSON, "why"), 7).message
    for name, message in (("ResultHeaders", labelled), ("DeadLetterHeaders", dead)):
        assert (
            set(schemas[name]["properties"]) == set(schemas[name]["required"]) == set(_text(message.headers)) - {"mine"}
        )
    assert schemas["DeadLetterHeaders"]["properties"]["dlq.reason"]["enum"] == list(Reason)


def _text(headers: Headers) -> dict[str, str]:
    return {name: (content or b"").decode() for name, content in headers}


# The operations page


def table_with(*first: str) -> Table:
    """The table of the operations page with these first columns."""
    (found,) = (table for table in TABLES if table.header[: len(first)] == first)
    return found


def leaves(model: type[BaseModel], parents: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, (*parents, name))
        else:
            yield (*parents, name)


SETTINGS = {".".join(path) for path in leaves(Settings)}
VARIABLES = {PREFIX + name.upper().replace(".", "__") for name in SETTINGS}


def test_every_setting_is_on_the_page_with_a_meaning() -> None:
    """In a table for its section, once, and nothing that is no setting."""
    rows = [row for table in TABLES if table.header[:2] == ("setting", "variable") for row in table.rows]
    variables = [row["variable"].strip("`") for row in rows]
    assert sorted(variables) == sorted(VARIABLES)
    for row, variable in zip(rows, variables, strict=True):
        assert variable.endswith(row["setting"].strip("`").upper())
        assert all(row.values()), row


def test_every_topic_is_on_the_page_with_its_default() -> None:
    """In one table; the default is that of the settings, by the names of the topics that it is made of."""
    settings = Settings.model_construct()
    made = {"<input.topic>": settings.input.topic, "<output.topic>": settings.output.topic}
    found = {}
    for row in table_with("topic", "setting").rows:
        default = row["default"].strip("`")
        for name, topic in made.items():
            default = default.replace(name, topic)
        found[row["setting"].strip("`")] = default
    assert found == {
        "input.topic": settings.input.topic,
        "output.topic": settings.output.topic,
        "dead_letters.topic": settings.dead_letter_topic,
        "moderation.review_topic": settings.review_topic,
        "moderation.verdict_topic": settings.verdict_topic,
        "trends.topic": settings.trend_topic,
    }


def test_what_the_page_names_is_there() -> None:
    """Settings, variables and metrics in the running text."""
    assert set(re.findall(rf"{PREFIX}[A-Z_0-9]+", OPERATIONS)) <= VARIABLES | {"STREAMER_CONFIG"}
    sections, old = "|".join(Settings.model_fields), {".".join(path) for path in RENAMED}
    assert set(re.findall(rf"`((?:{sections})\.[a-z_.0-9]+)", OPERATIONS)) <= SETTINGS | old | {"kafka.security"}
    metrics = {family.name for family in Metrics().registry.collect() if not family.name.startswith("process_")}
    assert {name.removesuffix("_total") for name in re.findall(r"streamer_[a-z_]+", OPERATIONS)} == metrics


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    """All of them, each with a meaning."""
    table = table_with("code")
    assert table.column("code") == [str(int(code)) for code in sorted(Exit)]
    assert all(all(row.values()) for row in table.rows)


def test_every_reason_is_explained() -> None:
    """Each in a row."""
    assert [reason.strip("`") for reason in table_with("`dlq.reason`").column("`dlq.reason`")] == list(Reason)


def test_counts_are_as_their_schema_says() -> None:
    """What the count_buffer publishes; and the schema is closed."""
    count_buffer, source = CountBuffer(UNNAMED_COLUMNS), TopicPartition("reviews", 1)
    count_buffer.assign(source, (3, 4), 0)
    count_buffer.add(
        source,
        3,
        [(0, TrendSample(7, "a", "positive", 5)), (1, TrendSample(7, None, "negative", 1_000_000)), (2, None)],
    )
    (counted,) = count_buffer.pending(source, 3)
    value = json.loads(encode_counts(counted))
    schema = trend_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate(value)
    changes: tuple[dict[str, Any], ...] = (
        {"more": 1},
        {"epoch": 3},
        {"cells": [[7, "a", 1]]},
        {"cells": [[7, "a", 1, 0, 0.5, 5]]},
        {"cells": [["7", "a", 1, 0, 0, 5]]},
        {"cells": [[7, 8, 1, 0, 0, 5]]},
        {"labels": []},
        {"source": {**value["source"], "more": 1}},
    )
    for wrong in changes:
        with pytest.raises(ValidationError):
            validator.validate(value | wrong)
    validator.validate(value | {"labels": ["good", "so-so", "bad", "uncertain"]})
