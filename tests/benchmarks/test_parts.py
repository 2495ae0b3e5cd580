"""The parts latency, scale and gpu: what they write of figures, and that they run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from benchmarks import gpu, latency, scale
from benchmarks.contenders import there
from benchmarks.record import Part
from benchmarks.scale import Point, Sample
from benchmarks.schedule import Outcome
from streamer.models.artefact import BUNDLED, ModelError, read_artefact
from tests.benchmarks.figures import curves
from tests.brokers import Cluster
from tests.brokers.chain import BOOTSTRAP

_MS = {"p50": 12.34, "p95": 20.0, "p99": 30.0, "p99.9": 45.6, "max": 50.0}


def options(part: Any, *arguments: str) -> argparse.Namespace:
    """A part's options from its command line."""
    parser = argparse.ArgumentParser()
    module: Part = part
    module.arguments(parser)
    parser.add_argument("--no-record", action="store_true")
    return parser.parse_args(arguments)


@pytest.fixture
def bundled() -> Path:
    """The bundled artefact, where this version reads it."""
    try:
        return read_artefact(BUNDLED).directory
    except ModelError as error:
        pytest.skip(f"no model to measure: {error}")


def load(share: float, state: str = "ok") -> dict[str, Any]:
    found: dict[str, Any] = {"share": share, "rate": 4000 * share, "state": state, "reviews": 12345}
    return found | ({"latency_ms": _MS, "lateness_ms": _MS} if state == "ok" else {"missing": 7})


LATENCY: dict[str, Any] = {
    "maximum": 4000.0,
    "seconds": 20.0,
    "warm_up_seconds": 4.0,
    "partitions": 6,
    "seed": 1,
    "peer_batch": 256,
    "contenders": {
        "ours": {"state": "measured", "loads": [load(0.1), load(0.9)], "lone_ms": _MS},
        "(b)": {"state": "measured", "loads": [load(0.1), load(0.9, "overloaded")], "lone_ms": _MS},
        "(d)": {"state": "not there"},
        "(e)": {"state": "failed", "why": "ended with 1", "loads": [load(0.1)]},
    },
    "start_up": {"seconds": [5.0, 6.5, 7.0], "median": 6.5, "parts": {"imports": 2.0, "model": 1.5, "costs": 1.0}},
}


def test_latency_section() -> None:
    """A row for each load and service; the overloaded, missing and failed say so."""
    text = latency.section(LATENCY)
    assert "| 10% | 400 | ours | 12.3 | 20.0 | 30.0 | 45.6 | 50.0 | 12,345 | 30.0 |" in text
    assert "| 90% | 3,600 | (b) | overloaded |" in text
    assert "| 90% | 3,600 | (d) | not there |" in text
    assert "| 90% | 3,600 | (e) | failed |" in text
    assert "6.5 s (median of 3)" in text
    assert "1.5 s" in text
    assert _aligned(text)


def test_latency_plots(drawn: list[Figure]) -> None:
    """Our percentiles, then the median and the 99th of each service, at the loads that it kept up with."""
    files = latency.plots(LATENCY)
    ((ours, median, tail),) = (figure.axes for figure in drawn)
    assert curves(ours) == {name: [(400, _MS[name]), (3600, _MS[name])] for name in ("p50", "p95", "p99", "p99.9")}
    for panel, name in ((median, "p50"), (tail, "p99")):
        assert curves(panel) == {
            "ours": [(400, _MS[name]), (3600, _MS[name])],
            "(b)": [(400, _MS[name])],
            "(e)": [(400, _MS[name])],
        }
    assert list(files) == ["latency.png"]
    assert files == latency.plots(LATENCY), "other bytes for the same figures"


def test_a_load_is_summed_up_after_its_warm_up() -> None:
    """Latencies and the generator's lateness of the reviews that were due since."""
    due = [number / 10 for number in range(1, 101)]
    outcome = Outcome(due, [0.001] * 100, {number: at + (5 if at < 2 else 0.02) for number, at in enumerate(due)})
    found = latency.summary_of(outcome, 2.0)
    assert found["state"] == "ok"
    assert found["reviews"] == 81
    assert found["latency_ms"]["max"] == pytest.approx(20)
    assert found["lateness_ms"]["p99"] == pytest.approx(1)


def test_a_load_without_its_results_is_overloaded() -> None:
    """And has no latency to show."""
    found = latency.summary_of(Outcome([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], {0: 1.1}), 0.5)
    assert found["state"] == "overloaded"
    assert found["missing"] == 2
    assert "latency_ms" not in found


def test_peers_are_looked_for() -> None:
    """One whose module does not exist is told of, and does not fail the rest."""
    assert there("benchmarks.scale")
    assert not there("benchmarks.nobody")
    assert not there("benchmarks.nobody.peer")


def scaled(**changes: int) -> dict[str, Any]:
    measured = {
        "seconds": 50.5,
        "reviews_per_second": 4000.0,
        "cpu_seconds_per_1000": 0.321,
        "resident_mib_at_100k": 800.0,
        "resident_mib_at_end": 810.0,
    }
    return {"workers": 1, "partitions": 6, "reviews": 200_000} | changes | measured


SCALE: dict[str, Any] = {
    "base": {"workers": 1, "partitions": 6, "reviews": 200_000},
    "runs": [scaled(), scaled(workers=2), scaled(partitions=64), scaled(reviews=10_000), scaled(reviews=500_000)],
    "left_out": [{"workers": 1, "partitions": 6, "reviews": 2_000_000}],
    "line": {"fixed": 0.5, "each": 250e-6, "residual": 0.021},
}


def test_scale_section() -> None:
    """A table for each factor with the base in it, the line, and what was left out."""
    text = scale.section(SCALE)
    row = "4,000 | 50.5 | 0.321 | 800 | 810 |"
    for first in ("1", "2", "6", "64", "10,000", "200,000", "500,000"):
        assert f"| {first} | {row}" in text
    assert "0.50 s + 250.0 µs a review" in text
    assert "2.1%" in text
    assert "2,000,000" in text
    assert _aligned(text)


def test_scale_plots(drawn: list[Figure]) -> None:
    """Seconds and the fitted line, memory, and rates: against the factor that was varied, the base among its points."""
    files = scale.plots(SCALE)
    ((seconds, memory, workers, partitions),) = (figure.axes for figure in drawn)
    sizes = (10_000, 200_000, 500_000)
    assert curves(seconds) == {
        "measured": [(size, 50.5) for size in sizes],
        "straight line": [(size, pytest.approx(0.5 + 250e-6 * size)) for size in sizes],
    }
    assert curves(memory) == {
        "at 100,000": [(size, 800.0) for size in sizes],
        "at the end": [(size, 810.0) for size in sizes],
    }
    assert [*curves(workers).values()] == [[(1, 4000.0), (2, 4000.0)]]
    assert [*curves(partitions).values()] == [[(6, 4000.0), (64, 4000.0)]]
    assert list(files) == ["scale.png"]
    assert files == scale.plots(SCALE), "other bytes for the same figures"


def test_scale_plots_of_the_base_alone(drawn: list[Figure]) -> None:
    """Empty panels: there is no curve through one point."""
    scale.plots(SCALE | {"runs": SCALE["runs"][:1], "line": None})
    assert [curves(panel) for panel in drawn[0].axes] == [{}] * 4


def test_one_factor_at_a_time() -> None:
    """From the base point, none twice, the longest topic last."""
    chosen = ("--workers", "1", "2", "--partitions", "1", "6", "--sizes", "9", "5", "--base", "1", "6", "7")
    expected = [Point(1, 6, 7), Point(2, 6, 7), Point(1, 1, 7), Point(1, 6, 5), Point(1, 6, 9)]
    assert scale.plan(options(scale, *chosen)) == expected


def test_the_rate_leaves_out_the_first_tenth() -> None:
    """Time counts in full; memory is taken when 100,000 are done, CPU by what was done since the first tenth."""
    samples = [
        Sample(100.0, 0, 500, 10.0),
        Sample(110.0, 50_000, 600, 20.0),
        Sample(120.0, 150_000, 700, 40.0),
        Sample(135.0, 300_000, 750, 70.0),
    ]
    assert scale.summary(samples, 300_000) == {
        "seconds": 35.0,
        "reviews_per_second": 10_000.0,
        "cpu_seconds_per_1000": 0.2,
        "resident_mib_at_100k": 700,
        "resident_mib_at_end": 750,
    }


def test_too_few_reviews_for_a_rate() -> None:
    """Rather than a division by zero."""
    with pytest.raises(ValueError, match="too few"):
        scale.summary([Sample(1.0, 0, 1, 1), Sample(2.0, 10, 1, 1)], 10)


def test_gpu_without_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and a sentence, no traceback."""
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit) as ended:
        gpu.measure(options(gpu))
    assert ended.value.code == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_gpu_dry_run(bundled: Path, drawn: list[Figure]) -> None:
    """Every stage on the CPU in both precisions; the figures make a section and a plot, and are not recorded."""
    chosen = options(gpu, "--dry-run", "--reviews", "0", "--artefact", str(bundled))
    figures = gpu.measure(chosen)
    assert chosen.no_record
    assert {(found["precision"], found["length"], found["size"]) for found in figures["stages"]} == {
        (precision, length, size) for precision in ("float16", "float32") for length in (4, 8) for size in (1, 4)
    }
    assert all(seconds > 0 for found in figures["stages"] for seconds in found["seconds"].values())
    text = gpu.section(figures)
    assert "cpu (dry run)" in text
    assert _aligned(text)
    assert list(gpu.plots(figures)) == ["gpu.png"]
    ((float16, float32),) = (figure.axes for figure in drawn)
    for panel in (float16, float32):
        stages = [found for found in figures["stages"] if found["precision"] == panel.get_title()]
        assert curves(panel) == {
            f"{length} tokens": [
                (found["size"], found["size"] / found["seconds"]["predict"])
                for found in stages
                if found["length"] == length
            ]
            for length in (4, 8)
        }


@pytest.mark.slow
@pytest.mark.requires("storage")
def test_gpu_dry_run_end_to_end(bundled: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred reviews through the broker."""
    monkeypatch.setenv(BOOTSTRAP, cluster.bootstrap)
    figures = gpu.measure(options(gpu, "--dry-run", "--artefact", str(bundled)))
    assert figures["end_to_end"]["reviews"] == 200
    assert figures["end_to_end"]["reviews_per_second"] > 0
    assert "200 reviews" in gpu.section(figures)


@pytest.mark.slow
@pytest.mark.requires("storage")
def test_latency_end_to_end(bundled: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred reviews: every part of the measurement yields figures."""
    monkeypatch.setenv(BOOTSTRAP, cluster.bootstrap)
    chosen = options(
        latency,
        *("--maximum", "200", "--shares", "0.1", "0.5", "--seconds", "3", "--warm-up", "1", "--lone", "3"),
        *("--starts", "1", "--peer", "", "--artefact", str(bundled)),
    )
    figures = latency.measure(chosen)
    ours = figures["contenders"]["ours"]
    assert [load["state"] for load in ours["loads"]] == ["ok", "ok"]
    assert ours["loads"][1]["reviews"] > 100
    assert 0 < ours["loads"][1]["latency_ms"]["p50"] <= ours["loads"][1]["latency_ms"]["p99.9"]
    assert ours["lone_ms"]["p50"] > 0
    assert figures["start_up"]["median"] > figures["start_up"]["parts"]["model"] > 0
    assert _aligned(latency.section(figures))


@pytest.mark.slow
@pytest.mark.requires("admin", "rebalancing", "storage")
def test_scale_end_to_end(bundled: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, two sizes: figures of each, and a line."""
    monkeypatch.setenv(BOOTSTRAP, cluster.bootstrap)
    chosen = ("--workers", "2", "--partitions", "6", "--sizes", "2000", "4000", "--base", "1", "6", "2000")
    figures = scale.measure(options(scale, *chosen, "--artefact", str(bundled)))
    assert [run["workers"] for run in figures["runs"]] == [1, 2, 1]
    assert figures["runs"][1]["resident_mib_at_end"] > 1.5 * figures["runs"][0]["resident_mib_at_end"]
    assert all(run["cpu_seconds_per_1000"] > 0 for run in figures["runs"])
    assert figures["line"]["residual"] >= 0


def _aligned(text: str) -> bool:
    """Whether every table's rows have as many cells as its head."""
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    return bool(tables) and all(_same(row.count("|") for row in table) for table in tables)


def _same(counts: Any) -> bool:
    found: Sequence[int] = list(counts)
    return len(set(found)) == 1
