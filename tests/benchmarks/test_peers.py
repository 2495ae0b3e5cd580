"""Tests of the peers that `benchmarks.end_to_end` compares with, and of what it says of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from matplotlib.figure import Figure

from benchmarks.contenders import Wiring
from benchmarks.end_to_end import agreeing, plots, ratios, section
from benchmarks.mixed import interleaved
from benchmarks.peers.entrants import CONFLUENT, FASTSTREAM, QUIX, TUTORIAL, Entrant, contender, missing
from benchmarks.peers.network import Form, Labeller
from benchmarks.peers.runs import Sample, rate
from benchmarks.peers.tuning import reviews_for
from streamer.models.artefact import BUNDLED, ModelError
from streamer.models.torchscript import Model, load
from tests.benchmarks.figures import bars, points
from tests.brokers import Cluster, MakeTopic
from tests.reading import Item, committed, end_offsets, fill, read_all
from tests.texts import reviews


@pytest.fixture(scope="module")
def model() -> Model:
    """The bundled model as this project serves it, in float32."""
    try:
        return load(BUNDLED, "cpu", "float32")
    except ModelError as error:
        pytest.skip(f"the bundled model is refused: {error}")


TEXTS = 100  # Reviews, beside those that are empty or too long.


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Real reviews of mixed lengths, with empty and truncated ones among them."""
    return [*reviews(TEXTS), "", " ", "好", "好" * 5000]


@pytest.fixture(scope="module")
def expected(model: Model, texts: list[str]) -> list[tuple[str, float]]:
    """Labels and scores of this project's own, each review alone."""
    encoded = [model.vocabulary.encode(text, model.manifest.max_tokens) for text in texts]
    predictions = [prediction for review in encoded for prediction in model.predict([review])]
    return [(prediction.label, prediction.score) for prediction in predictions]


@pytest.mark.parametrize("form", ["packed", "gated"])
def test_the_eager_network_gives_the_artefacts_scores(
    texts: list[str], expected: list[tuple[str, float]], form: Form
) -> None:
    """Both forms, in one batch of mixed lengths."""
    results = Labeller(BUNDLED, form).label(texts)

    assert [result.score for result in results] == pytest.approx([score for _, score in expected], abs=1e-4)
    assert [result.label for result in results] == [label for label, _ in expected]


def test_a_batch_without_tokens_is_uncertain() -> None:
    """Nothing is left to pad."""
    assert Labeller(BUNDLED).label(["", " "]) == [("uncertain", 0.5)] * 2


def test_padding_to_a_fixed_length_counts_as_padding() -> None:
    """The tutorial's way."""
    labeller = Labeller(BUNDLED, pad_to=64)

    labeller.label(["好", "很好" * 500])

    padding = labeller.padding()
    assert (padding["reviews"], padding["padded_tokens"]) == (2, 128)
    assert padding["tokens"] == 65


@contextmanager
def started(entrant: Entrant, wiring: Wiring, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A peer that is gone after the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(contender(entrant, wiring, 0).command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    "entrant",
    [
        TUTORIAL,
        CONFLUENT.with_options(batch="64"),
        FASTSTREAM.with_options(batch="64"),
        QUIX.with_options(batch="1"),
        QUIX.with_options(batch="64"),
    ],
    ids=lambda entrant: "-".join((entrant.name, *entrant.options.values())),
)
def test_each_peer_labels_a_topic(
    entrant: Entrant, expected: list[tuple[str, float]], cluster: Cluster, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Every review once, its key kept, its label as ours; on SIGTERM it ends in peace with all offsets committed."""
    if reason := missing(entrant):
        pytest.skip(reason)
    texts = reviews(TEXTS)
    source, output = make_topic(3), make_topic(3)
    wiring = Wiring(cluster.bootstrap, source, output, "", f"group-{source}", BUNDLED)
    values = [orjson.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts)]
    fill(cluster.bootstrap, source, [Item(value, f"user-{number % 9}".encode()) for number, value in enumerate(values)])

    with started(entrant, wiring, tmp_path / "log") as process:
        records = read_all(cluster.bootstrap, output, len(texts), timeout_s=120)
        process.terminate()
        assert process.wait(60) == 0, (tmp_path / "log").read_text()

    results = {
        int(event["id"]): (record.key, event) for record in records for event in [orjson.loads(record.value or b"")]
    }
    assert sorted(results) == list(range(len(texts)))
    assert all(results[number][0] == f"user-{number % 9}".encode() for number in results)
    assert committed(cluster.bootstrap, wiring.group, source) == {
        partition: end for partition, end in end_offsets(cluster.bootstrap, source).items() if end
    }
    if entrant.name != TUTORIAL.name:  # Which cuts reviews.
        scores = [results[number][1]["score"] for number in sorted(results)]
        assert scores == pytest.approx([score for _, score in expected[:TEXTS]], abs=1e-4)


def test_the_rate_leaves_out_the_first_tenth() -> None:
    """Starting up takes 10 s here and is not counted."""
    samples = [Sample(0, 0, 5), Sample(10, 10, 6), Sample(11, 50, 7), Sample(12, 100, 8)]
    assert rate(samples) == (100, 2, 45, 2 / 90 * 1000)


def test_waiting_for_a_batch_that_never_came_does_not_count() -> None:
    """A run that ends by the clock ends between two batches."""
    samples = [Sample(0, 0, 5), Sample(10, 50, 6), Sample(11, 100, 7), Sample(19, 100, 8)]
    assert rate(samples) == (100, 1, 50, 20)


def test_what_comes_all_at_once_has_a_rate_too() -> None:
    """From the sample before."""
    assert rate([Sample(0, 0, 0), Sample(10, 0, 0), Sample(11, 100, 1)]) == (100, 1, 100, 10)


def test_a_slow_peer_gets_fewer_reviews() -> None:
    """As many as it labels in the time, a tenth of them before the clock starts."""
    assert reviews_for(90.0, 20, 100_000) == 2000
    assert reviews_for(90_000.0, 20, 100_000) == 100_000
    assert reviews_for(None, 20, 100_000) == 100_000


def test_texts_are_mixed_by_their_shares_and_come_again() -> None:
    """The same order every time."""
    texts = {"short": ["a", "b"], "long": ["c"]}
    chosen = interleaved(texts, {"short": 0.9, "long": 0.1}, 1000)
    assert chosen == interleaved(texts, {"short": 0.9, "long": 0.1}, 1000)
    assert len(chosen) == 1000
    assert 60 < chosen.count("c") < 140
    assert abs(chosen.count("a") - chosen.count("b")) <= 1


def test_agreement_is_taken_over_common_ids() -> None:
    """A peer that stopped early is judged by what it did."""
    assert agreeing({"1": "positive", "2": "negative", "3": "negative"}, {"1": "positive", "2": "uncertain"}) == 0.5
    assert agreeing({}, {}) == 0.0


def test_ratios_take_the_best_peer() -> None:
    """Of those that batch; the tutorial does not."""
    rates = {"ours": 100.0, "tutorial": 2.0, "faststream": 20.0, "confluent": 50.0, "confluent_rjieba": 80.0}
    assert ratios(rates) == {"tutorial": 50, "faststream": 5, "best_peer": 2}


def figures() -> dict[str, Any]:
    """Made-up ones."""

    def each(about: str, rate: float, batch: str = "", padding: float | None = 0.9) -> dict[str, Any]:
        runs = [{"reviews_per_second": rate * factor} for factor in (0.9, 1.0, 1.1)]
        return {
            "about": about,
            "options": {"batch": batch} if batch else {},
            "reviews_per_second": rate,
            "cpu_seconds_per_1000": 1000 / rate,
            "padding_efficiency": padding,
            "agreement": None if about == "this project" else 0.998,
            "reviews": 10_000,
            "runs": runs,
        }

    return {
        "mix": "mixed",
        "shares": {"shop": 0.6, "short": 0.3, "long": 0.1},
        "reviews": 200_000,
        "mean_tokens": 54.2,
        "median_tokens": 31,
        "partitions": 6,
        "rounds": 3,
        "broker": "maven (Apache Kafka)",
        "model": "bilstm 1.0.0",
        "precision_of_ours": "bfloat16",
        "left_out": {"quix": "quixstreams is not installed: make peers"},
        "tuning": {},
        "contenders": {
            "tutorial": each("(a) the tutorial way", 60.0, padding=0.4),
            "ours": each("this project", 6000.0),
            "faststream": each("(b) FastStream", 600.0, "256", None),
        },
        "ratios": {"tutorial": 100.0, "faststream": 10.0, "best_peer": 10.0},
    }


def test_the_section_has_a_row_for_each_and_the_ratios() -> None:
    """The quickest first; who could not take part is named."""
    text = section(figures())
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert rows == [
        "| this project | 6,000 (5,400 to 6,600) | 0.17 | 90 % |  |  | 10,000 |",
        "| (b) FastStream | 600 (540 to 660) | 1.67 |  | 99.8 % | 256 | 10,000 |",
        "| (a) the tutorial way | 60.0 (54.0 to 66.0) | 16.67 | 40 % | 99.8 % |  | 10,000 |",
    ]
    assert "- 100.0 times as fast as the tutorial way (a)" in text
    assert "Left out: quix (quixstreams is not installed: make peers)." in text


def test_the_plot_has_a_bar_and_the_rounds_of_each(drawn: list[Figure]) -> None:
    """The quickest at the top; the same bytes for the same figures."""
    made = figures()
    files = plots(made)
    (axes,) = drawn[0].axes
    contenders = sorted(made["contenders"].values(), key=lambda each: float(each["reviews_per_second"]))
    (lengths,) = bars(axes).values()
    assert lengths == [each["reviews_per_second"] for each in contenders]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [each["about"] for each in contenders]
    assert [points(line) for line in axes.lines] == [
        [(run["reviews_per_second"], place) for run in each["runs"]] for place, each in enumerate(contenders)
    ]
    assert list(files) == ["end-to-end.png"]
    assert files == plots(made)
