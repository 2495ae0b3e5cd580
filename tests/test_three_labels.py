"""A model with three labels, from the artefact to the browser: no part of the service knows labels of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import orjson
import pytest

from streamer.dashboard.serving import running as running_dashboard
from streamer.models.artefact import known_labels
from streamer.settings import load
from streamer.trends import HOUR, Trends
from tests.brokers import Cluster
from tests.brokers.cluster import MakeTopic
from tests.counting import trends_of
from tests.jobs import Job
from tests.reading import Item, read_all
from tests.toy_artefact import make_toy_artefact
from tests.workers import Worker, running

LABELS = ("negative", "neutral", "positive")
WORDS = ("bad", "okay", "good")
TEXTS = {"bad": "negative", "okay": "neutral", "good": "positive", "good bad": "uncertain"}
STARS = ("one", "three", "five")
RULES = [{"name": "middling", "action": "review", "label": "neutral"}]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_toy_artefact(tmp_path / "toy", LABELS, WORDS)


def reviews(count: int) -> list[Item]:
    """Of each text as many, one group for each."""
    texts = list(TEXTS)
    values = ({"id": str(n), "text": texts[n % 4], "group": f"group-{n % 4}"} for n in range(count))
    return [Item(json.dumps(value).encode(), key=str(number).encode()) for number, value in enumerate(values)]


def counts(trends: Trends) -> Counter[str]:
    """Over all windows."""
    found: Counter[str] = Counter()
    for window in trends.series(HOUR, 0, 1 << 40):
        found.update({label: window.count(label) for label in window.labels if window.count(label)})
    return found


def until(worker: Worker, sample: str) -> None:
    """Wait for a sample of its metrics."""
    deadline = time.monotonic() + 60
    while sample not in worker.page("/metrics")[1]:
        assert worker.process.poll() is None, worker.log
        assert time.monotonic() < deadline, worker.log
        time.sleep(0.05)


@pytest.mark.timeout(400)
async def test_three_labels_reach_output_trends_rules_and_dashboard(
    cluster: Cluster, make_topic: MakeTopic, tmp_path: Path, model: Path
) -> None:
    """Each with its name and its count, in the order of the manifest; a rule on the middle one holds its reviews."""
    job = Job(cluster, make_topic, partitions=2)
    trends, held, verdicts = make_topic(2), make_topic(2), make_topic(1)
    job.settings = {
        "STREAMER_MODEL__PATH": str(model),
        "STREAMER_MODEL__WATCH_MS": "0",
        "STREAMER_TRENDS__ENABLED": "true",
        "STREAMER_TRENDS__TOPIC": trends,
        "STREAMER_MODERATION__RULES": json.dumps(RULES),
        "STREAMER_MODERATION__REVIEW_TOPIC": held,
        "STREAMER_MODERATION__VERDICT_TOPIC": verdicts,
    }
    with running(job.environment, tmp_path / "log") as worker:
        await asyncio.to_thread(job.put, reviews(40))
        results = [orjson.loads(record.value or b"") for record in await asyncio.to_thread(job.results, 40)]
        # A model without the rule's label is refused, and the old one goes on.
        first = shutil.copytree(model, tmp_path / "first")
        shutil.copytree(
            make_toy_artefact(tmp_path / "other", STARS, WORDS, version_="2.0.0"), model, dirs_exist_ok=True
        )
        worker.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(until, worker, 'streamer_model_reloads_total{outcome="refused"} 1.0')
        assert "moderation.rules.middling.label" in worker.log
        await asyncio.to_thread(job.put, reviews(4))
        await asyncio.to_thread(job.results, 44)
        assert await asyncio.to_thread(worker.stop) == 0, worker.log
    words = {label: text for text, label in TEXTS.items()}
    assert Counter(event["label"] for event in results) == dict.fromkeys(words, 10)
    assert all(event["label"] == TEXTS[words[event["label"]]] for event in results)
    scores = {event["label"]: event["score"] for event in results}
    assert scores["negative"] < 0.1 < scores["neutral"] < 0.9 < scores["positive"]
    assert {event["label"]: event["action"] for event in results} == {
        label: "review" if label == "neutral" else "allow" for label in words
    }
    assert len(await asyncio.to_thread(read_all, job.bootstrap, held, 11)) == 11
    messages = await asyncio.to_thread(read_all, job.bootstrap, trends)
    assert {tuple(orjson.loads(m.value or b"")["labels"]) for m in messages} == {(*reversed(LABELS), "uncertain")}
    assert counts(trends_of(messages)) == dict.fromkeys(words, 11)
    shown = load(
        {
            "kafka": {"bootstrap_servers": job.bootstrap},
            "input": {"topic": job.input},
            "output": {"topic": job.output},
            "model": {"path": str(first)},
            "trends": {"enabled": True, "topic": trends},
            "moderation": {"rules": RULES, "review_topic": held, "verdict_topic": verdicts},
            "dashboard": {"port": 0, "workers": []},
        }
    )
    async with running_dashboard(shown) as address:
        await _assert_shown(address)


async def _assert_shown(address: str) -> None:
    """What the dashboard sends to a page; and it takes the middle label as a moderator's own."""
    async with httpx.AsyncClient(base_url=address, headers={"origin": address}) as client, asyncio.timeout(60):
        rows: dict[int, list[int]] = {}
        names: list[str] = []
        async with client.stream("GET", "/api/events") as stream:
            async for line in stream.aiter_lines():
                if not line:
                    continue
                parts = orjson.loads(line.removeprefix("data: "))
                names = parts.get("labels", {}).get("names", names)
                rows |= {row[0]: row for row in parts.get("series", {}).get("rows", ())}
                groups = {group["group"]: group["counts"] for group in parts.get("groups", ())}
                if sum(sum(row[2:]) for row in rows.values()) == 44 and len(groups) == 4:
                    break
        assert names == ["negative", "neutral", "uncertain", "positive"]
        assert [sum(column) for column in list(zip(*rows.values(), strict=True))[2:]] == [11] * 4
        assert groups["group-1"] == [0, 11, 0, 0]
        async with client.stream("GET", "/api/events?view=queue") as stream:
            async for line in stream.aiter_lines():
                queue = orjson.loads(line.removeprefix("data: ") or b"{}").get("queue", {})
                if queue.get("waiting"):
                    break
        decision = {"id": queue["waiting"][0], "action": "allow", "label": "neutral"}
        assert (await client.post("/api/verdict", json=decision)).status_code == 200
        assert (await client.post("/api/verdict", json=decision | {"label": "else"})).status_code == 400


@pytest.mark.parametrize("command", [["run"], ["check"]])
def test_a_rule_on_an_unknown_label_ends_with_2(cluster: Cluster, model: Path, command: list[str]) -> None:
    """The message names the rule and the labels that the model has; nothing is read before."""
    settings = {
        "STREAMER_MODEL__PATH": str(model),
        "STREAMER_KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap,
        "STREAMER_MODERATION__RULES": json.dumps([{"name": "odd", "action": "block", "label": "hateful"}]),
    }
    ended = _streamer(command, settings)
    assert ended.returncode == 2, ended.stderr
    assert "moderation.rules.odd.label" in ended.stderr
    assert "negative, neutral, positive, uncertain" in ended.stderr


def test_a_dry_run_of_rules_checks_labels_too(tmp_path: Path, model: Path) -> None:
    """Tried on a file, without Kafka: a label of the model is matched, another ends with 2."""
    table, rules = tmp_path / "reviews.csv", tmp_path / "rules.toml"
    table.write_text("text\nokay\ngood\n")
    given = '[[moderation.rules]]\nname = "r"\naction = "review"\nlabel = "{}"\n'
    command = ["rules", "test", str(table), "--rules", str(rules), "--json"]
    rules.write_text(given.format("neutral"))
    ended = _streamer(command, {"STREAMER_MODEL__PATH": str(model)})
    assert json.loads(ended.stdout)["actions"] == {"allow": 1, "review": 1, "block": 0}, ended.stderr
    rules.write_text(given.format("hateful"))
    ended = _streamer(command, {"STREAMER_MODEL__PATH": str(model)})
    assert (ended.returncode, "moderation.rules.r.label" in ended.stderr) == (2, True)


def _streamer(arguments: list[str], settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    command = [sys.executable, "-m", "streamer", *arguments]
    return subprocess.run(command, env=inherited | settings, capture_output=True, text=True, timeout=200, check=False)


def test_labels_are_known_without_torch(model: Path) -> None:
    """The dashboard and `streamer trends` read the manifest alone; one that they cannot read leaves labels unknown."""
    assert known_labels(model) == ("positive", "neutral", "negative", "uncertain")
    assert known_labels(model / "missing") == ()
    program = "import sys, streamer.dashboard.serving, streamer.commands.trends; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
