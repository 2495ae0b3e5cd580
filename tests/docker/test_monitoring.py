"""docker/prometheus and docker/grafana: they ask for metrics that there are, in the shape that their readers want."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from streamer.observe.metrics import Metrics
from tests.observe.test_metrics import PARTITION, told

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS, GRAFANA = ROOT / "docker/prometheus", ROOT / "docker/grafana"
OPERATIONS = (ROOT / "docs/operations.md").read_text()

# What Prometheus adds to whatever it scrapes.
TARGET = {"job", "instance"}
# Of prometheus_client's process_*, which a test on another system than Linux cannot see.
PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.suffix in (".yml", ".yaml") else json.loads(path.read_text())


RULES: list[dict[str, Any]] = [rule for group in load(PROMETHEUS / "alerts.yml")["groups"] for rule in group["rules"]]
DASHBOARD: dict[str, Any] = load(GRAFANA / "dashboards/streamer.json")
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]
VARIABLES: dict[str, dict[str, Any]] = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}


def series() -> dict[str, dict[str, set[str]]]:
    """Every sample that `streamer.observe.metrics` renders, with the values that its labels have been seen with."""
    found: dict[str, dict[str, set[str]]] = {name: {} for name in ("up", *PROCESS)}
    metrics = told()
    metrics.lag(PARTITION, 1, 1.0)
    metrics.model("bilstm", "1.0.0")
    for stage in ("prepare", "infer", "encode", "publish"):
        metrics.stage(stage, 0.1, 1)
    for family in metrics.registry.collect():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


SERIES = series()


def plain(expression: str) -> str:
    """PromQL as Prometheus gets it from Grafana, near enough: variables and intervals filled in."""
    filled = expression.replace("$__rate_interval", "5m")
    for name in VARIABLES:
        filled = filled.replace(f"${name}", ".*")
    assert "$" not in filled, expression
    return filled


def nodes(expression: str) -> list[promql.Expr]:
    """The expression and everything in it."""
    found: list[promql.Expr] = []

    def visit(node: promql.Expr) -> bool:
        found.append(node)
        return True

    promql.walk(promql.parse(plain(expression)), visit)
    return found


def selectors(expression: str) -> Iterator[promql.VectorSelector]:
    return (node for node in nodes(expression) if isinstance(node, promql.VectorSelector))


def wrong(expression: str) -> list[str]:
    """What it asks for that there is not: metrics, labels, labels' values; labels that it groups or matches by."""
    chosen = list(selectors(expression))
    assert chosen, expression
    missing = [f"metric {selector.name}" for selector in chosen if selector.name not in SERIES]
    known: set[str] = set(TARGET)
    for selector in chosen:
        labels = SERIES.get(selector.name or "", {})
        known |= labels.keys()
        for matcher in selector.matchers.matchers:
            if matcher.name not in labels.keys() | TARGET:
                missing.append(f"label {matcher.name} of {selector.name}")
            elif (
                matcher.name in labels
                and matcher.op == promql.MatchOp.Equal
                and matcher.value not in labels[matcher.name]
            ):
                missing.append(f"{matcher.name}={matcher.value} of {selector.name}")
    for node in nodes(expression):
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            missing += [f"label {label}" for label in node.modifier.labels if label not in known]
        elif isinstance(node, promql.BinaryExpr) and node.modifier is not None and node.modifier.matching is not None:
            missing += [f"label {label}" for label in node.modifier.matching.labels if label not in known]
    return missing


EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES} | {
    f"{panel['title']} {target['refId']}": target["expr"] for panel in GRAPHS for target in panel["targets"]
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_what_is_asked_for_is_there(expression: str) -> None:
    """Metrics, labels and their values, in every rule and panel."""
    assert wrong(expression) == []


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        ("rate(streamer_record_total[5m])", ["metric streamer_record_total"]),
        ("sum(streamer_lag_records) > 0 unless sum(rate(streamer_lags[5m])) > 0", ["metric streamer_lags"]),
        ('streamer_lag_records{group="a"}', ["label group of streamer_lag_records"]),
        ('streamer_commits_total{outcome="lost"}', ["outcome=lost of streamer_commits_total"]),
        ('streamer_latency_seconds_bucket{le="3"}', ["le=3 of streamer_latency_seconds_bucket"]),
        ("sum by (reason) (streamer_lag_records)", ["label reason"]),
        ("streamer_ready / on (stage) streamer_lag_records", ["label stage"]),
        ("deriv(sum(streamer_nothing)[15m:1m])", ["metric streamer_nothing"]),
        ("-absent(up == 1) + streamer_x", ["metric streamer_x"]),
    ],
)
def test_what_is_not_there_is_found(expression: str, missing: list[str]) -> None:
    """Wherever in an expression: else the test above would pass on anything."""
    assert wrong(expression) == missing


def test_legends_and_annotations_name_labels_that_are_left() -> None:
    """Of those that an aggregation keeps."""
    for panel in GRAPHS:
        for target in panel["targets"]:
            used = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert used <= kept(target["expr"]), (panel["title"], target["legendFormat"])
    for rule in RULES:
        used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert used <= kept(rule["expr"]), rule["alert"]


def kept(expression: str) -> set[str]:
    """Labels that a result may have: those of the outermost aggregation, or all where there is none."""
    for node in nodes(expression):
        if isinstance(node, promql.AggregateExpr):
            return set(node.modifier.labels) if node.modifier is not None else set()
    return TARGET.union(*(SERIES[selector.name or ""] for selector in selectors(expression)))


# The alerts


def anchors(page: str) -> set[str]:
    """As the usual renderers of Markdown make them of headings."""
    titles = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_what_and_what_to_do(rule: dict[str, Any]) -> None:
    """A severity, a time to wait, a summary, a description, and a section of the runbook that is there."""
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert promql.parse_duration(rule["for"]).total_seconds() >= 60
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert all(text.strip() for text in rule["annotations"].values())
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (page, anchor) == ("docs/operations.md", rule["alert"].lower())
    assert anchor in anchors(OPERATIONS)


def test_names_of_alerts_are_unique() -> None:
    """And the runbook has no section for one that is gone."""
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert re.findall(r"^#+ (Streamer\w+)$", OPERATIONS, re.MULTILINE) == names


def test_each_alert_is_tried_both_ways() -> None:
    """A case in which it fires, and one in which it keeps quiet."""
    tried = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in load(PROMETHEUS / "alerts.test.yml")["tests"]
        for case in test["alert_rule_test"]
    ]
    assert sorted(tried) == sorted((rule["alert"], fires) for rule in RULES for fires in (True, False))


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")],
    ids=" ".join,
)
def test_prometheus_takes_them(arguments: tuple[str, ...]) -> None:
    """Its own tool reads the files and plays the cases."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the PATH (Debian: apt install prometheus)")
    done = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workers_are_scraped_by_the_name_that_the_alerts_know() -> None:
    """A job called streamer, judged by the rules beside it."""
    config = load(PROMETHEUS / "prometheus.yml")
    assert config["rule_files"] == ["alerts.yml"]
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    assert set(re.findall(r'job="(\w+)"', " ".join(rule["expr"] for rule in RULES))) == {"streamer"} <= jobs


# The dashboard


def test_the_dashboard_says_who_it_is() -> None:
    """With a fixed uid, so that a new version takes the place of the old one, and no id of some server's."""
    assert (DASHBOARD["uid"], DASHBOARD["id"], DASHBOARD["schemaVersion"] >= 36) == ("sentiment-streamer", None, True)
    assert DASHBOARD["title"]
    assert DASHBOARD["description"]


def test_panels_lie_on_a_grid() -> None:
    """Within its 24 columns, none over another, no holes in a row, in reading order."""
    boxes = [panel["gridPos"] for panel in PANELS]
    assert all(box["x"] >= 0 and box["x"] + box["w"] <= 24 and box["h"] > 0 for box in boxes)
    for one, other in combinations(boxes, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)
    assert [(box["y"], box["x"]) for box in boxes] == sorted((box["y"], box["x"]) for box in boxes)
    for y in {box["y"] for box in boxes}:
        assert sum(box["w"] for box in boxes if box["y"] == y) == 24, y
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


@pytest.mark.parametrize("panel", GRAPHS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """Title, description, and only what the chosen workers say, from the chosen data source."""
    assert panel["title"]
    assert panel["description"]
    assert panel["targets"]
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH"[: len(panel["targets"])])
    for target in panel["targets"]:
        assert panel["datasource"] == target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for selector in selectors(target["expr"]):
            assert {matcher.name for matcher in selector.matchers.matchers} >= TARGET, target["expr"]


Dimension = tuple[int, int, int]  # Exponents of seconds, bytes and things that are counted.
SHARE, SECONDS, BYTES, COUNT, RATE = (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 1)
UNITS: dict[Dimension, set[str]] = {
    SHARE: {"percentunit"},
    SECONDS: {"s"},
    BYTES: {"bytes"},
    COUNT: {"short"},
    RATE: {"reqps", "short"},  # Grafana calls a rate of whatever requests.
}


def times(one: Dimension, other: Dimension, power: int = 1) -> Dimension:
    return one[0] + power * other[0], one[1] + power * other[1], one[2] + power * other[2]


def dimension(node: promql.Expr) -> Dimension | None:
    """What a result is measured in, from the names of its metrics and what is done to them; None for a number.

    A bucket of a histogram has the dimension of what it counts: a rate of it divides by seconds, a quantile multiplies.
    """
    match node:
        case promql.VectorSelector():
            return _of_metric(node.name or "")
        case promql.MatrixSelector():
            return dimension(node.vector_selector)
        case promql.AggregateExpr() | promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
            return COUNT if getattr(node, "op", "").__str__() == "count" else dimension(node.expr)
        case promql.BinaryExpr():
            one, other = dimension(node.lhs), dimension(node.rhs)
            if str(node.op) == "/" and one is not None and other is not None:
                return times(one, other, -1)
            assert one is None or other is None or one == other, node.prettify()
            return one or other
        case promql.Call():
            found = next((found for found in map(dimension, node.args) if found is not None), None)
            if found is None or node.func.name not in ("rate", "irate", "histogram_quantile"):
                return found
            return times(found, SECONDS, 1 if node.func.name == "histogram_quantile" else -1)
        case _:
            return None


def _of_metric(name: str) -> Dimension:
    if name == "process_cpu_seconds_total":
        return times(SECONDS, COUNT)  # Of so many cores.
    if name.endswith("_count"):
        return SHARE  # Observations: what a sum is divided by.
    base = re.sub(r"_(bucket|sum|total)$", "", name)
    return {"seconds": SECONDS, "bytes": BYTES, "ratio": SHARE}.get(base.rpartition("_")[2], COUNT)


@pytest.mark.parametrize("panel", GRAPHS, ids=lambda panel: panel["title"])
def test_a_panel_has_the_unit_of_what_it_shows(panel: dict[str, Any]) -> None:
    """All that it shows is measured in the same, and the unit says in what."""
    shown = set()
    for target in panel["targets"]:
        found = dimension(promql.parse(plain(target["expr"])))
        assert found is not None
        shown.add(times(found, SECONDS) if target.get("format") == "heatmap" else found)
    (only,) = shown
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS[only]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(streamer_records_total[5m])", RATE),
        ("sum(rate(streamer_tokens_total[5m])) / sum(rate(streamer_padded_tokens_total[5m]))", SHARE),
        ("histogram_quantile(0.9, sum by (le) (rate(streamer_age_seconds_bucket[5m])))", SECONDS),
        ("rate(streamer_age_seconds_sum[5m]) / rate(streamer_age_seconds_count[5m])", SECONDS),
        ("count(process_resident_memory_bytes)", COUNT),
        ("max(process_resident_memory_bytes) * 2", BYTES),
    ],
)
def test_dimensions_are_computed(expression: str, expected: Dimension) -> None:
    """Otherwise the test above would pass on anything."""
    assert dimension(promql.parse(expression)) == expected


def test_one_can_choose_job_and_worker() -> None:
    """Any number of them, from what Prometheus knows; a metric that there is says which there are."""
    assert list(VARIABLES) == ["datasource", "job", "instance"]
    for name in ("job", "instance"):
        variable = VARIABLES[name]
        assert (variable["multi"], variable["includeAll"], variable["type"]) == (True, True, "query")
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert found is not None
        assert found[2] == name
        assert wrong(found[1]) == []


def test_the_dashboard_shows_every_metric() -> None:
    """All that `streamer.observe.metrics` has."""
    shown = {
        selector.name or "" for panel in GRAPHS for target in panel["targets"] for selector in selectors(target["expr"])
    }
    families = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in shown}
    told_of = {family.name for family in Metrics().registry.collect() if family.name.startswith("streamer_")}
    assert told_of - families == set()


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """Provisioning files of version 1; the panels' default data source is the one that is provisioned."""
    (source,) = (files := load(GRAFANA / "provisioning/datasources/prometheus.yaml"))["datasources"]
    assert files["apiVersion"] == 1
    assert (source["type"], source["isDefault"], source["access"]) == ("prometheus", True, "proxy")
    interval = load(PROMETHEUS / "prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval
    (provider,) = (files := load(GRAFANA / "provisioning/dashboards/streamer.yaml"))["providers"]
    assert files["apiVersion"] == 1
    assert (provider["type"], provider["options"].keys()) == ("file", {"path"})
