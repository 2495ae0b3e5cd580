"""The comparison of batching policies: complete, repeatable, and said as it came out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from benchmarks import policies
from benchmarks.lengths import HISTOGRAMS
from benchmarks.queueing import plausible_costs
from tests.benchmarks.figures import bars, points

NAMES = ("arrival order", "token budget", "sorted window", "fixed edges", "powers of two", "ours")


def run(*arguments: str) -> dict[str, Any]:
    """A small run, as it is read back from its file."""
    parser = argparse.ArgumentParser()
    policies.arguments(parser)
    figures: dict[str, Any] = json.loads(
        json.dumps(policies.measure(parser.parse_args(["--reviews", "300", *arguments])))
    )
    return figures


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cost table of another machine."""
    costs = plausible_costs()
    table = {"device": "a machine", "lengths": costs.lengths, "sizes": costs.sizes, "seconds": costs.seconds}
    path = tmp_path_factory.mktemp("costs") / "costs.json"
    path.write_text(json.dumps(table))
    return path


@pytest.fixture(scope="module")
def figures(saved: Path) -> dict[str, Any]:
    """Of one table."""
    return run("--costs", str(saved))


def test_there_is_a_row_for_every_histogram_load_and_policy(figures: dict[str, Any]) -> None:
    """From idle to backlog, with rates, padding and waits that make sense."""
    (table,) = figures["tables"]
    wanted = {(h, load, name) for h in HISTOGRAMS for load in (*policies.LOADS, "backlog") for name in NAMES}
    assert {(row["histogram"], row["load"], row["policy"]) for row in table["rows"]} == wanted
    assert len(table["rows"]) == len(wanted)
    for row in table["rows"]:
        assert 0 < row["efficiency"] <= 1
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["throughput"] > 0
    backlog = [row for row in table["rows"] if row["load"] == "backlog"]
    best = {name: max(row["throughput"] for row in backlog if row["histogram"] == name) for name in HISTOGRAMS}
    assert table["capacity"] == best


def test_rules_by_number_keep_the_memory_of_the_others(figures: dict[str, Any]) -> None:
    """Their number times the longest review is within the budget."""
    sizes = [size for chosen in figures["tables"][0]["chosen_sizes"].values() for size in chosen.values()]
    assert max(sizes) * 256 <= policies.LIMITS.max_padded_tokens


def test_a_run_is_repeatable(figures: dict[str, Any], saved: Path) -> None:
    """By its seed; another seed is another run."""
    assert run("--costs", str(saved)) == figures
    assert run("--costs", str(saved), "--seed", "2")["tables"] != figures["tables"]


def test_the_section_has_every_policy(figures: dict[str, Any]) -> None:
    """In both tables."""
    text = policies.section(figures)
    assert all(text.count(f"| {name} |") == 2 for name in NAMES)
    assert "a machine" in text


def test_the_plots_are_of_the_figures(figures: dict[str, Any], drawn: list[Figure]) -> None:
    """p99 against load while the policy keeps up, a panel for each histogram; padding efficiency under backlog."""
    files = policies.plots(figures)
    rows = figures["tables"][0]["rows"]
    latency, padding = drawn
    for panel, histogram in zip(latency.axes, HISTOGRAMS, strict=True):
        for line in panel.lines:
            of = [row for row in rows if (row["histogram"], row["policy"]) == (histogram, line.get_label())]
            kept = [row for row in of if row["keeps_up"] and row["load"] != "backlog"]
            assert points(line) == [(row["load"], row["p99_ms"]) for row in kept]
        assert sorted(str(line.get_label()) for line in panel.lines) == sorted(NAMES)
        assert any(points(line) for line in panel.lines)
    (axes,) = padding.axes
    efficiency = {(row["policy"], row["histogram"]): row["efficiency"] for row in rows if row["load"] == "backlog"}
    assert bars(axes) == {name: [efficiency[name, histogram] for histogram in HISTOGRAMS] for name in NAMES}
    assert sorted(files) == ["policies-p99.png", "policies-padding.png"]
    assert files == policies.plots(figures), "other bytes for the same figures"
    assert len(policies.plots({**figures, "tables": figures["tables"] * 2})) == 4


def test_a_trace_is_compared_too(saved: Path, tmp_path: Path) -> None:
    """Arrivals as they were, beside the histograms."""
    (tmp_path / "trace").write_text("".join(f"{number / 1000} {number % 40 + 1}\n" for number in range(100)))
    figures = run("--costs", str(saved), "--trace", str(tmp_path / "trace"))
    rows = [row for row in figures["tables"][0]["rows"] if row["histogram"] == "trace"]
    assert [row["policy"] for row in rows] == list(NAMES)
    assert "The trace" in policies.section(figures)


def test_without_a_measurement_the_recorded_table_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its rows; and before there is one, a rule of thumb that says so."""
    table = {"device": "recorded", "lengths": [1], "sizes": [1], "seconds": [[0.1]]}
    monkeypatch.setattr(policies, "recorded", lambda _: {"figures": {"tables": [{**table, "rows": []}]}})
    assert policies.stored_costs() == [table]
    monkeypatch.setattr(policies, "recorded", lambda _: None)
    assert "not measured" in policies.stored_costs()[0]["device"]
