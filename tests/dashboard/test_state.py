"""What the pages show, computed without Kafka and without a clock."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streamer.dashboard.charts import InvalidQuery, PageQuery, page_query, rows, step, table
from streamer.dashboard.queue import Decision, Queue, read_decision
from streamer.dashboard.reviews import Latest, Rate, ReviewFilter, ReviewView, read_review
from streamer.dashboard.state import DashboardState
from streamer.dashboard.workers import Snapshot, Worker, Workers, shape, snapshot
from streamer.events import Record, TopicPartition
from streamer.observe.metrics import Metrics, parse
from streamer.trends import Trends
from tests.dashboard import feed

SOURCE = TopicPartition("reviews", 0)
LABELS = ("negative", "uncertain", "positive")


def record(value: Any, key: bytes | None = b"k", timestamp: int = 1000) -> Record:
    return Record("topic", 0, 1, timestamp, key, None if value is None else orjson.dumps(value))


def made(number: int, label: str = "negative", text: str | None = None, **changes: Any) -> ReviewView:
    found = read_review(record(feed.event(number, label, text, **changes), timestamp=number), "text")
    assert found is not None
    return found


def test_an_event_is_read_with_its_text() -> None:
    """By the path of the settings; without input there is none."""
    event = feed.event(4, "positive", "good", action="review", rule="r")
    found = read_review(record(event), "text")
    assert found is not None
    assert (found.id, found.label, found.text, found.action, found.rule) == (
        "reviews/0/4",
        "positive",
        "good",
        "review",
        "r",
    )
    assert "source" not in found.as_json()
    assert made(1).text is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        "x",
        7,
        feed.event(1, group=None) | {"label": "two words"},
        feed.event(1) | {"label": 7},
        feed.event(1) | {"score": "x"},
        feed.event(1) | {"source": {"topic": "t"}},
        feed.event(1) | {"evidence": [{"token": "t"}]},
        feed.event(1) | {"evidence": 7},
    ],
)
def test_what_is_no_event_is_left_out(value: Any) -> None:
    """Whoever may write to the topic cannot stop the dashboard."""
    assert read_review(record(value), "text") is None


def test_what_strangers_write_is_cut() -> None:
    """A page has room for so much."""
    found = made(1, text="x" * 10_000, group="g" * 10_000, id="i" * 10_000)
    assert [len(str(field)) for field in (found.text, found.group, found.name)] == [4000, 200, 200]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ReviewFilter(), [1, 2]),
        (ReviewFilter(label="positive"), [2]),
        (ReviewFilter(group="group-1"), [1]),
        (ReviewFilter(text="AUSGEZEICHNET"), [2]),
        (ReviewFilter(text="差"), [1]),
        (ReviewFilter(text="reviews/0/2"), [2]),
        (ReviewFilter(label="positive", text="差"), []),
    ],
)
def test_events_are_found_by_label_group_and_words(wanted: ReviewFilter, expected: list[int]) -> None:
    """Without a text the evidence is searched."""
    items = [made(1), made(2, "positive", "ausgezeichnet")]
    assert [int(found.id[-1]) for found in items if wanted.matches(found)] == expected


def test_a_reader_of_the_ring_gets_what_is_new() -> None:
    """And no more than what there is room for."""
    latest = Latest(room=4)
    latest.add([made(1), made(2)])
    place = latest.end
    latest.add([made(3), made(4, "positive")])
    assert [i.name for i in latest.since(place, ReviewFilter(), 10)] == ["r3", "r4"]
    assert [i.name for i in latest.since(place, ReviewFilter(label="positive"), 10)] == ["r4"]
    latest.add(made(number) for number in range(5, 105))
    assert [i.name for i in latest.since(place, ReviewFilter(), 10)] == ["r101", "r102", "r103", "r104"]
    assert [i.name for i in latest.since(place, ReviewFilter(), 2)] == ["r102", "r104"]
    assert [i.name for i in latest.newest(ReviewFilter(), 2)] == ["r103", "r104"]
    assert latest.since(latest.end, ReviewFilter(), 10) == []


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """By how far the topic has moved; a topic made anew begins anew."""
    rate = Rate()
    assert rate.value() == 0
    for second in range(20):
        rate.observe(100 * second if second < 10 else 1000 + 500 * (second - 10), float(second))
    assert rate.value() == 500
    rate.observe(3, 20.0)
    rate.observe(5, 21.0)
    assert rate.value() == 2


def test_a_verdict_closes_a_review_and_an_undo_opens_it() -> None:
    """The newest counts; one that comes before its review is remembered."""
    queue = Queue()
    for number in (1, 2):
        queue.add(made(number))
    verdict = Decision("block", None, "Ann", 7)
    queue.decide("reviews/0/1", verdict)
    queue.decide("reviews/0/3", verdict)
    assert ([i.id for i in queue.waiting(ReviewFilter(), 9)], queue.open) == (["reviews/0/2"], 1)
    assert [(i.id, v.by) for i, v in queue.decided(9)] == [("reviews/0/1", "Ann")]
    queue.add(made(3))
    assert queue.decision("reviews/0/3") == verdict
    queue.decide("reviews/0/1", None)
    assert [i.id for i in queue.waiting(ReviewFilter(), 9)] == ["reviews/0/1", "reviews/0/2"]
    version = queue.version
    queue.add(made(3))
    assert queue.version == version


def test_the_queue_is_bounded() -> None:
    """The oldest make room, and those nobody has looked at are counted."""
    queue = Queue(room=3)
    queue.add(made(0))
    queue.decide("reviews/0/0", Decision("allow", None, "Ann", 7))
    for number in range(1, 6):
        queue.add(made(number))
    assert ([i.name for i in queue.waiting(ReviewFilter(), 9)], queue.forgotten, queue.open) == (
        ["r3", "r4", "r5"],
        2,
        3,
    )
    for number in range(2000):
        queue.decide(f"reviews/1/{number}", Decision("allow", None, "Ann", 7))
    assert len(queue._early) == 1000


@pytest.mark.parametrize(
    ("key", "value"), [(None, {}), (b"", None), (b"\xff", None), (b"k", {"action": "explode"}), (b"k", [])]
)
def test_what_is_no_verdict_is_left_out(key: bytes | None, value: Any) -> None:
    """Anybody with the right to write may have written it."""
    assert read_decision(record(value, key)) is None


def test_a_tombstone_is_an_undo() -> None:
    """Under the review's key."""
    assert read_decision(record(None, b"reviews/0/1")) == ("reviews/0/1", None)


def test_an_address_is_read() -> None:
    """What is not there has its default; what means nothing is refused by name."""
    assert page_query({}) == PageQuery()
    query = page_query({"view": "groups", "range": "1h", "label": "negative", "group": "g", "q": "w", "sort": "name"})
    assert query == PageQuery("groups", 3600, None, None, ReviewFilter("negative", "g", "w"), "name")
    assert page_query({"from": "100", "to": "200"}).bounds(1e9) == (100, 200)
    assert PageQuery(span=300).bounds(1000.5) == (701, 1001)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"view": "x"}, "view"),
        ({"range": "1y"}, "range"),
        ({"label": "two words"}, "label"),
        ({"sort": "x"}, "sort"),
        ({"from": "x", "to": "y"}, "from, to"),
        ({"from": "2", "to": "1"}, "from, to"),
        ({"from": "0", "to": "99999999"}, "from, to"),
    ],
)
def test_an_address_that_means_nothing_is_refused(query: dict[str, str], named: str) -> None:
    """Rather than answered with something else."""
    with pytest.raises(InvalidQuery, match=named):
        page_query(query)


def test_a_chart_has_a_point_for_as_many_seconds_as_it_takes() -> None:
    """Seconds are kept for 15 minutes only."""
    assert [step(span, span) for span in (300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400)] == [1, 5, 60, 60, 300, 3600]
    assert step(300, 4000) == 60


def counted(*seconds: int, group: str = "g", label: str = "negative") -> Trends:
    trends = Trends()
    for place, second in enumerate(seconds):
        event = feed.event(place, label, group=group)
        trends.merge(feed.counts([event], place, SOURCE, second=second).value, now=2e9)
    return trends


def test_points_add_up_to_what_was_counted() -> None:
    """In windows of the chart's step, of the time asked for."""
    trends = counted(1000, 1001, 1004, 1005, 1299)
    width, points = rows(trends, PageQuery(span=900), 1300.0, LABELS)
    assert (width, [(row[0], row[2]) for row in points if row[2]]) == (5, [(1000, 3), (1005, 1), (1295, 1)])
    assert (sum(row[1] for row in points), sum(sum(row[3:]) for row in points)) == (5 * 70_000, 0)
    _, others = rows(trends, PageQuery(span=900, wanted=ReviewFilter(group="else")), 1300.0, LABELS)
    assert not any(sum(row[1:]) for row in others)


def test_groups_are_added_up_and_sorted() -> None:
    """By volume, by share with regard to how many there are, by name."""
    trends, offset = Trends(), 0
    for group, negative, positive in (("few", 1, 0), ("Many", 40, 60), ("bad", 30, 10)):
        events = [
            feed.event(n, "negative" if n < negative else "positive", group=group) for n in range(negative + positive)
        ]
        trends.merge(feed.counts(events, offset, SOURCE, second=60_000).value, now=2e9)
        offset += len(events)
    query = PageQuery("groups", span=900)

    def names(sort: str) -> list[str]:
        return [found["group"] for found in table(trends, query._replace(sort=sort), 60_030.0, LABELS)]

    assert names("volume") == ["Many", "bad", "few"]
    assert names("share") == ["bad", "Many", "few"]
    assert names("name") == ["bad", "few", "Many"]
    (found,) = table(trends, query._replace(wanted=ReviewFilter(text="MAN")), 60_030.0, LABELS)
    assert (found["counts"], found["count"], found["share"]) == ([40, 0, 60], 100, 0.4)
    assert sum(total for total, _ in found["spark"]) == 100


def test_change_compares_the_later_half_with_the_earlier() -> None:
    """In parts of a whole; unknown where one of them is empty."""
    trends = Trends()
    early = [feed.event(n, "negative" if n < 2 else "positive", group="g") for n in range(10)]
    late = [feed.event(n, "negative" if n < 6 else "positive", group="g") for n in range(10)]
    trends.merge(feed.counts(early, 0, SOURCE, second=60_000).value, now=2e9)
    trends.merge(feed.counts(late, 10, SOURCE, second=60_840).value, now=2e9)
    (found,) = table(trends, PageQuery("groups", span=900), 60_890.0, LABELS)
    assert found["change"] == pytest.approx(0.4)


def test_labels_are_those_of_the_model_of_the_counts_and_of_results() -> None:
    """In order from the least favourable to the most; a label that only results have had goes to the lower end."""
    state = DashboardState(Trends(labels=("good", "bad", "uncertain")), Workers([]), None)
    assert state.labels() == ("bad", "uncertain", "good")
    state.add_latest([made(1, "uncertain"), made(2)._replace(label="worse"), made(3)._replace(label="good")])
    assert state.page_labels() == {
        "names": ("worse", "bad", "uncertain", "good"),
        "uncertain": "uncertain",
        "watched": "bad",
    }
    event = feed.event(0) | {"label": "so-so"}
    counts = feed.counts([event], 0, SOURCE, second=60_000, labels=("good", "so-so", "bad", "worse", "uncertain"))
    assert state.trends.merge(counts.value, now=2e9)
    assert state.labels() == ("worse", "bad", "uncertain", "so-so", "good")
    _, (point,) = rows(state.trends, PageQuery(span=900), 60_010.0, state.labels())
    assert point == (60_000, 70_000, 0, 0, 0, 1, 0)
    (found,) = table(state.trends, PageQuery(span=900), 60_010.0, state.labels())
    assert (found["counts"], found["share"]) == ([0, 0, 0, 1, 0], 0.0)


def test_names_of_labels_do_not_fill_the_memory() -> None:
    """Whoever may write results cannot add labels without end."""
    state = DashboardState(Trends(), Workers([]), None)
    for number in range(100):
        state.add_latest([made(1)._replace(label=f"label-{number}")])
    assert len(state.labels()) < 50


def scraped(metrics: Metrics, at: float) -> Snapshot:
    return snapshot(at, parse(metrics.render().decode()))


def test_a_worker_is_told_by_what_it_counts() -> None:
    """Rates between two looks at it, quantiles and shapes over the last minute."""
    metrics, worker = Metrics(), Worker("http://w")
    metrics.batch(8, 80, 100, 0.0)
    worker.observe(scraped(metrics, 0.0))
    metrics.records.labels("labelled").inc(20)
    metrics.latency.observe([0.01] * 20)
    metrics.batch(16, 90, 100, 0.0)
    metrics.lag(TopicPartition("t", 0), 7, 1.5)
    metrics.dead_letters.labels("not_json").inc(2)
    worker.observe(scraped(metrics, 2.0))
    on_ready = worker.as_json()
    assert (on_ready["rate"], on_ready["lag"], on_ready["lag_seconds"], on_ready["padding"]) == (10, 7, 1.5, 0.9)
    assert on_ready["dead"] == {"not_json": 2}
    assert [pair for pair in on_ready["batches"] if pair[1]] == [("16", 1)]
    assert 0.005 <= on_ready["p50"] <= 0.01
    assert Workers([worker]).points(0.0) == [[2.0, 10.0, 7.0, on_ready["p50"], on_ready["p95"]]]
    worker.failed("refused")
    assert worker.as_json()["error"] == "refused"


def test_a_worker_that_began_anew_has_no_negative_rate() -> None:
    """Its counters are smaller than before."""
    old, new, worker = Metrics(), Metrics(), Worker("http://w")
    old.records.labels("labelled").inc(100)
    worker.observe(scraped(old, 0.0))
    new.records.labels("labelled").inc(10)
    worker.observe(scraped(new, 2.0))
    assert worker.as_json()["rate"] is None


def test_a_shape_has_each_buckets_own_count() -> None:
    """Prometheus' buckets are cumulative."""
    assert shape({1.0: 2.0, float("inf"): 5.0}) == [("1", 2), ("more", 3)]
