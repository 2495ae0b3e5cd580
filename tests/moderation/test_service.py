"""Moderation as its users run it: what is held is in the review topic once, in order, beside its result."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.checkers import Position, Record, check
from tests.command_line import Ended, streamer
from tests.jobs import Job
from tests.reading import Item, read_all
from tests.texts import reviews
from tests.workers import Worker, running

RULES: list[dict[str, Any]] = [
    {"name": "staff", "action": "allow", "field": "user.role", "equals": ["staff"]},
    {"name": "words", "action": "block", "pattern": "退货|差评|垃圾"},
    {"name": "group", "action": "review", "group": ["g3", "g5*"], "label": ["negative", "uncertain"]},
    {"name": "angry", "action": "block", "label": "negative", "score_max": 0.05},
    {"name": "nobody", "action": "block", "group": "nobody-*"},
]


@pytest.fixture
def job(cluster: Cluster, make_topic: MakeTopic) -> Job:
    job = Job(cluster, make_topic)
    job.settings = moderating(make_topic(job.partitions)) | {"STREAMER_MODEL__CACHE_ENTRIES": "4096"}
    return job


# For the rules `angry`, `words` and none of them, whatever the reviews are that the machine has.
OWN = (
    "Terrible quality, it broke after one day and nobody answers. A complete waste of money.",
    "客服态度恶劣，东西是坏的，退货也没人理。",
    "质量很好，送货很快，非常满意。",
)


def moderating(topic: str) -> dict[str, str]:
    return {
        "STREAMER_MODERATION__RULES": json.dumps(RULES),
        "STREAMER_MODERATION__REVIEW_TOPIC": topic,
    }


def rows(count: int) -> list[dict[str, Any]]:
    """Our own texts and real ones; every third one comes again, so that the cache answers; some are of the staff."""
    texts = [*OWN * 35, *reviews(count * 2 // 3 - 35 * len(OWN))]  # Each with every group, of the staff and not.
    return [
        {
            "id": f"r{number}",
            "text": text,
            "group": f"g{number % 7}",
            "user": {"role": "staff" if not number % 5 else ""},
        }
        for number, text in enumerate([*texts, *texts[: count - len(texts)]])
    ]


def put(job: Job, given: list[dict[str, Any]]) -> dict[Position, bytes | None]:
    return job.put(Item(orjson.dumps(row), key=f"user-{number % 97}".encode()) for number, row in enumerate(given))


def held(job: Job, expected: int | None) -> list[Record]:
    return read_all(job.bootstrap, job.settings["STREAMER_MODERATION__REVIEW_TOPIC"], expected, timeout_s=120)


def value(record: Record) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(record.value or b"")
    return event


def assert_held(job: Job, produced: dict[Position, bytes | None], results: list[Record]) -> list[Record]:
    """The review topic has each result that is not allowed, once, in order, with its evidence and input."""
    wanted = {r.source: value(r) for r in results if value(r)["action"] != "allow"}
    copies = held(job, len(wanted))
    positions = {source: key for source, key in produced.items() if source in wanted}
    check(positions, copies).assert_clean()
    assert {action for event in wanted.values() for action in [event["action"]]} == {"review", "block"}
    by_source = {record.source: record for record in results}
    for copy in copies:
        event, result = value(copy), by_source[copy.source]
        assert event.pop("input")["id"] == event["id"]
        assert event == value(result)
        assert event["evidence"]
        assert (copy.key, copy.headers, copy.position.partition) == (
            result.key,
            result.headers,
            result.position.partition,
        )
    return copies


@pytest.mark.requires("rebalancing", "storage", "transactions")
@pytest.mark.timeout(900)
def test_killed_again_and_again_what_is_held_is_there_once(job: Job, tmp_path: Path) -> None:
    """With `exactly_once`, by kill -9 in the middle of transactions; in the order of its reviews."""
    job.settings |= {
        "STREAMER_DELIVERY": "exactly_once",
        "STREAMER_KAFKA__SESSION_TIMEOUT_MS": "15000",
        "STREAMER_KAFKA__HEARTBEAT_INTERVAL_MS": "1000",
        "STREAMER_PIPELINE__COMMIT_INTERVAL_MS": "300",
    }
    produced = put(job, rows(4_000))
    for number in range(2):
        with running(job.environment, tmp_path / f"killed-{number}") as worker:
            worker.wait_for(600, 240)
            worker.process.kill()
    with running(job.environment, tmp_path / "last") as worker:
        results = job.results(4_000, timeout_s=300)
        assert worker.stop() == 0, worker.log
    check(produced, results).assert_clean()
    assert_held(job, produced, results)
    job.assert_offsets_at_the_end()


def decisions(worker: Worker) -> dict[str, float]:
    names = [rule["name"] for rule in RULES]
    return {name: worker.metric("streamer_decisions_total", rule=name) for name in ["", *names]}


@pytest.mark.timeout(900)
def test_trying_rules_out_says_what_the_service_then_does(job: Job, tmp_path: Path) -> None:
    """On the same reviews, cache and all: in its results, on the review topic, and in its metrics."""
    given = rows(2_000)
    path = tmp_path / "reviews.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(orjson.dumps(row) + b"\n" for row in given)))
    produced = put(job, given)
    with running(job.environment, tmp_path / "log") as worker:
        results = job.results(len(given), timeout_s=300)
        worker.wait_for(len(given))
        counted = decisions(worker)
        assert worker.metric("streamer_cache_lookups_total", result="hit") > 0
        assert worker.stop() == 0, worker.log
    assert_held(job, produced, results)
    tried = try_rules(str(path), "--json", environment=job.settings)
    done = Counter(value(result).get("rule", "") for result in results)
    assert {rule["name"]: rule["reviews"] for rule in tried["rules"]} == {r["name"]: done[r["name"]] for r in RULES}
    assert tried["default"] == {"action": "allow", "reviews": done[""]}
    assert tried["actions"] == Counter(value(result)["action"] for result in results)
    assert counted == {name: done[name] for name in counted}
    assert tried["never_matched"] == ["nobody"]
    assert all(done[rule["name"]] for rule in RULES[:-1])


def test_without_its_review_topic_a_worker_does_not_start(job: Job, tmp_path: Path) -> None:
    """Exit code 2, and its name."""
    with running(job.environment | moderating("nowhere"), tmp_path / "log") as worker:
        assert worker.wait(90) == 2
        assert "nowhere" in worker.log


def test_a_wrong_rule_ends_the_start(job: Job, tmp_path: Path) -> None:
    """Exit code 2, the rule and the field."""
    wrong = json.dumps([RULES[0], RULES[1] | {"pattern": "(?=x)"}])
    with running(job.environment | {"STREAMER_MODERATION__RULES": wrong}, tmp_path / "log") as worker:
        assert worker.wait(90) == 2
        assert "moderation.rules.words.pattern" in worker.log


def run_rules(*arguments: str, environment: dict[str, str] | None = None) -> Ended:
    return streamer("rules", "test", *arguments, environment=environment)


def try_rules(*arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = run_rules(*arguments, environment=environment)
    assert done.code == 0, done.stderr
    tried: dict[str, Any] = json.loads(done.stdout)
    return tried


TOML = """
[moderation]
[[moderation.rules]]
name = "bad"
action = "block"
pattern = "terrible"
[[moderation.rules]]
name = "never"
action = "review"
group = "nobody"
"""


def test_rules_that_are_not_live_are_tried(tmp_path: Path) -> None:
    """Instead of the live ones and their default; with examples, and what could not be labelled."""
    (tmp_path / "new.toml").write_text(TOML)
    (tmp_path / "rows.jsonl").write_text('{"text": "a terrible\\u001b[2J film"}\n{"stars": 1}\n{"text": "fine"}\n')
    arguments = (str(tmp_path / "rows.jsonl"), "--rules", str(tmp_path / "new.toml"), "--show", "3")
    live = moderating("held") | {"STREAMER_MODERATION__DEFAULT": "block"}
    tried = try_rules(*arguments, "--json", environment=live)
    bad, never = tried["rules"]
    assert (bad["name"], bad["reviews"], bad["examples"][0]["text"]) == ("bad", 1, "a terrible\x1b[2J film")
    assert (never["reviews"], tried["never_matched"], tried["unreadable"]) == (0, ["never"], {"text_missing": 1})
    assert (tried["default"]["action"], tried["default"]["reviews"]) == ("allow", 1)
    shown = run_rules(*arguments, environment=live)
    assert "never matched: never" in shown.stdout and "a terrible [2J film" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_rules_are_tried_on_the_same_tables_as_label_reads(tmp_path: Path) -> None:
    """With its options and its strictness; rows of which none can be labelled are an error."""
    (tmp_path / "new.toml").write_text(TOML)
    (tmp_path / "rows.csv").write_text("1;a terrible film\n2;so;so\n3;fine\n")
    options = ("--rules", str(tmp_path / "new.toml"), "--no-header", "--delimiter", ";", "--text-column", "2")
    arguments = (str(tmp_path / "rows.csv"), *options)
    done = run_rules(*arguments)
    assert (done.code, done.stdout) == (2, "")
    assert "rows.csv, line 2: 3 cells" in done.stderr
    done = run_rules(*arguments, "--skip-bad-rows")
    assert done.code == 0
    assert "2 reviews: " in done.stdout and "1 bad row left out: 1 with too many cells" in done.stderr
    (tmp_path / "rows.json").write_text('[{"body": "x"}, {"body": "y"}]')
    done = run_rules(str(tmp_path / "rows.json"), "--rules", str(tmp_path / "new.toml"))
    assert done.code == 2
    assert "rows.json: no row could be labelled: 2 text_missing" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "new.toml: No such file"),
        ("[moderation", "new.toml: not TOML"),
        ("[moderation]\n", "no [[moderation.rules]]"),
        (TOML.replace('"terrible"', '"("'), "moderation.rules.bad.pattern"),
    ],
)
def test_a_rule_file_that_cannot_be_used_is_said(tmp_path: Path, content: str | None, message: str) -> None:
    """Exit code 2."""
    (tmp_path / "rows.jsonl").write_text('{"text": "x"}\n')
    if content is not None:
        (tmp_path / "new.toml").write_text(content)
    done = run_rules(str(tmp_path / "rows.jsonl"), "--rules", str(tmp_path / "new.toml"))
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr


def test_without_any_rules_there_is_nothing_to_try(tmp_path: Path) -> None:
    """Exit code 2, and what to do."""
    (tmp_path / "rows.jsonl").write_text('{"text": "x"}\n')
    done = run_rules(str(tmp_path / "rows.jsonl"))
    assert done.code == 2
    assert "give --rules FILE.toml" in done.stderr
