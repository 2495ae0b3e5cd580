"""The capacity planner: its sums, its profiles, its latency against a simulation, and the command."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchmarks.queueing import Arrival, simulate
from streamer.cli import app
from streamer.pipeline.batching import Bucketer, CostTable
from streamer.planning.plan import Plan, PlanError, Request, divisible, plan
from streamer.planning.profile import Profile
from streamer.planning.profiles import STORED, ProfileError, parse, read, stored, write
from streamer.planning.queueing import MAX_PADDED_TOKENS, MAX_REVIEWS, Latency, batch_latency, full_load_seconds
from streamer.planning.worker import mix, server, worker_at
from tests.command_line import streamer

ROOT = Path(__file__).parents[2]
CPU = stored("cpu")
MAX_WAIT = 0.02
FEW = settings(max_examples=15, deadline=None)  # A plan takes some 50 ms: it computes a latency.
RATES = st.floats(1, 1e7)
MEANS = st.floats(1, CPU.max_tokens)


def changed(**changes: Any) -> Profile:
    """The stored profile with changes."""
    return Profile.model_validate({**CPU.model_dump(), **changes})


def gpu(**changes: Any) -> Profile:
    """A made-up GPU: a batch has a long start and is then all but free."""
    lengths, sizes = (1, 256), (1, 8, 32, 64, 128, 256)
    seconds = tuple(tuple(1.5e-3 + length * (12e-6 + 0.02e-6 * size) for size in sizes) for length in lengths)
    costs = {"lengths": lengths, "sizes": sizes, "seconds": seconds}
    return changed(device="cuda", precision="float16", costs=costs, **changes)


def planned(profile: Profile, rate: float, mean_tokens: float, **options: Any) -> Plan:
    return plan(profile, Request(rate, mean_tokens, **options))


# The sums


@FEW
@given(RATES, RATES, MEANS)
def test_more_reviews_never_take_less(rate: float, other: float, mean: float) -> None:
    """Workers, cores, hosts, partitions, bytes."""
    low, high = sorted((rate, other))
    less, more = planned(CPU, low, mean), planned(CPU, high, mean)
    for name in ("workers", "cores", "hosts", "partitions", "memory_gib", "disk_gb_per_day"):
        assert getattr(less, name) <= getattr(more, name), name


@FEW
@given(RATES, MEANS, MEANS)
def test_longer_texts_are_never_cheaper(rate: float, mean: float, other: float) -> None:
    """Neither in time nor in bytes."""
    low, high = sorted((mean, other))
    short, long = planned(CPU, rate, low), planned(CPU, rate, high)
    assert short.workers <= long.workers
    assert short.worker.rate >= long.worker.rate
    assert short.worker.cpu_ms <= long.worker.cpu_ms
    assert short.traffic_in.raw <= long.traffic_in.raw


@FEW
@given(RATES, MEANS, st.floats(0.01, 0.95), st.integers(1, 256))
def test_no_worker_is_busier_than_asked(rate: float, mean: float, utilisation: float, cores: int) -> None:
    """And one worker less would be; no host has more workers than it has cores for."""
    found = planned(CPU, rate, mean, utilisation=utilisation, cores_per_host=cores)
    assert found.utilisation <= utilisation * (1 + 1e-9)
    assert found.workers == 1 or rate / (found.workers - 1) > utilisation * found.worker.rate * (1 - 1e-9)
    assert found.workers_per_host * found.worker.cores <= cores + 1e-6
    assert found.hosts * found.workers_per_host >= found.workers
    assert found.partitions >= 2 * found.workers
    assert found.latency.p50 <= found.latency.p95 <= found.latency.p99 < float("inf")


@FEW
@given(MEANS)
def test_the_mix_has_the_mean_asked_for(mean: float) -> None:
    """To half a token, since token counts are whole; within the model's limits."""
    lengths = mix(CPU, mean)
    assert sum(lengths) / len(lengths) == pytest.approx(mean, abs=0.51)
    assert min(lengths) >= 1
    assert max(lengths) <= CPU.max_tokens


def test_the_first_to_be_used_up_holds_a_worker() -> None:
    """The GIL, the model, or its cores, each when it costs the most; the advice says so."""
    slow = {"lengths": [4, 256], "sizes": [1, 256], "seconds": [[0.1, 0.2], [0.3, 0.4]]}
    free = changed(stages={"all": {"per_review_us": 100.0, "gil": 0.0}}, threads=1)
    assert planned(changed(stages={"loop": {"per_review_us": 900.0}}), 1, 45).worker.bound == "python"
    assert planned(changed(costs=slow), 1, 45).worker.bound == "model"
    assert planned(free, 1, 45, cores_per_host=1).worker.bound == "cores"
    assert planned(free, 1, 45, cores_per_host=1).worker.cores == pytest.approx(CPU.derate)
    assert "cores" in planned(free, 1, 45, cores_per_host=1).advice


@pytest.mark.parametrize(
    ("gil", "model_us", "bound", "rate"),
    [
        (0.5, 0.1, "python", 0.5 / 300e-6),  # 100 us, and half of 300 + 2 us a token.
        (0.0, 0.1, "cores", 0.5 * 2 / 500.1e-6),  # One core, and one for the model's thread.
        (0.0, 1000.0, "model", 0.5 / 1000e-6),
    ],
)
def test_the_rate_of_a_worker_is_that_of_its_scarcest_resource(
    gil: float, model_us: float, bound: str, rate: float
) -> None:
    """By hand, for stages and a model of round costs at 50 tokens, derated by half."""
    stages = {"loop": {"per_review_us": 100.0}, "prepare": {"per_review_us": 300.0, "per_token_us": 2.0, "gil": gil}}
    costs = {"lengths": [1, 256], "sizes": [1, 256], "seconds": [[model_us * 1e-6, model_us * 256e-6]] * 2}
    profile = changed(stages=stages, costs=costs, threads=1, derate=0.5)
    worker = worker_at(profile, mix(profile, 50), 50, 16)
    assert worker.bound == bound
    assert worker.rate == pytest.approx(rate, rel=0.01)


def test_a_gpu_is_shared_by_workers_that_python_holds() -> None:
    """By its time, or by its memory where that is less."""
    found = planned(gpu(), 50_000, 45)
    assert found.worker.bound == "python"
    shared = int(1000 / (found.worker.rate * found.worker.model_ms))
    assert shared > 1
    assert found.gpus == -(-found.workers // shared)
    small = planned(gpu(device_mib=1000.0, worker_device_mib=500.0), 50_000, 45)
    assert small.gpus == -(-small.workers // 2)
    assert planned(CPU, 50_000, 45).gpus == 0


def test_bytes_and_disk() -> None:
    """A record's size times the rate; compressed, a day, three replicas."""
    record = {"per_review": 100.0, "per_token": 2.0, "ratio": 0.5}
    found = planned(changed(input=record, output=record), 1_000_000, 50, replication=3)
    assert (found.traffic_in.raw, found.traffic_in.compressed) == (200.0, 100.0)
    assert found.disk_gb_per_day == pytest.approx(2 * 100 * 86_400 / 1000 * 3)


@given(st.integers(1, 50_000))
def test_partitions_spread_evenly(least: int) -> None:
    """Over 2, 3, 4, 6 and 12 workers, without many too many."""
    found = divisible(least)
    assert least <= found <= max(2 * least, least * 1.25 + 12)
    assert found <= 12 or found % 12 == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": float("inf")}, "rate"),
        ({"mean_tokens": 0.5}, "mean tokens"),
        ({"mean_tokens": 257}, "mean tokens must be 1 to 256"),
        ({"utilisation": 0}, "utilisation"),
        ({"utilisation": 1.0}, "utilisation"),
        ({"cores_per_host": 0}, "core"),
        ({"headroom": 0.5}, "head-room"),
        ({"replication": 0}, "replication"),
    ],
)
def test_an_impossible_number_is_named(changes: dict[str, Any], message: str) -> None:
    """Rather than planned with."""
    with pytest.raises(PlanError, match=message):
        planned(CPU, **{"rate": 1000, "mean_tokens": 45, **changes})


# Latency


def simulated(costs: CostTable, lengths: tuple[int, ...], rate: float, backlog: float = 0.0) -> Latency:
    """The bucketer itself under Poisson arrivals; the first sixth, while it fills, does not count.

    backlog: reviews that may wait at a time; the run is many times that, else it would be over before it is full.
    """
    count = max(8_000, round(15 * backlog))
    chance = random.Random(7)
    now, arrivals = 0.0, []
    for length in chance.choices(lengths, k=count):
        now += chance.expovariate(rate)
        arrivals.append(Arrival(now, length))
    report = simulate(arrivals, Bucketer(costs, MAX_WAIT, MAX_REVIEWS, MAX_PADDED_TOKENS), costs)
    ordered = sorted(report.latencies[count // 6 :])
    p50, p95, p99 = (1000 * ordered[int(share * len(ordered))] for share in (0.5, 0.95, 0.99))
    return Latency(1000 * sum(ordered) / len(ordered), p50, p95, p99)


SERVERS = {
    "a worker": (CPU, False),
    "the model alone": (CPU, True),
    "a GPU's worker": (gpu(), False),
    "a GPU alone": (gpu(), True),
}


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("mean", [20, 45, 120])
@pytest.mark.parametrize("name", SERVERS)
def test_the_latency_is_near_the_simulation(name: str, mean: float, load: float) -> None:
    """Within a factor of 2 either way, mean and percentiles, as docs/scaling.md says."""
    profile, alone = SERVERS[name]
    lengths = mix(profile, mean)
    costs = profile.costs.table()
    if not alone:
        costs = server(profile, lengths, worker_at(profile, lengths, mean, 16).rate)
    rate = load / full_load_seconds(costs, lengths)
    estimated = batch_latency(costs, lengths, rate)
    found = simulated(costs, lengths, rate, backlog=rate * estimated.mean / 1000)
    for figure in ("mean", "p50", "p95", "p99"):
        assert 0.5 <= getattr(estimated, figure) / getattr(found, figure) <= 2, (figure, estimated, found)


def test_one_length_is_inoues_case() -> None:
    """All reviews alike, batches that cost a + b n: 3/2 of the cycle a / (1 - b rate), while one batch takes all."""
    sizes = tuple(range(1, MAX_REVIEWS + 1))
    costs = CostTable((48,), sizes, (tuple(0.004 + 5e-6 * size for size in sizes),))
    for rate in (5_000, 20_000, 35_000):
        cycle = 0.004 / (1 - 5e-6 * rate)
        assert rate * cycle < MAX_REVIEWS
        assert batch_latency(costs, (48,), rate).mean == pytest.approx(1500 * cycle, rel=0.02)
        assert simulated(costs, (48,), rate).mean == pytest.approx(1500 * cycle, rel=0.1)


def test_beyond_the_capacity_latency_has_no_bound() -> None:
    """A queue that only grows."""
    costs, lengths = CPU.costs.table(), mix(CPU, 45)
    assert batch_latency(costs, lengths, 1.01 / full_load_seconds(costs, lengths)).p50 == float("inf")


@FEW
@given(MEANS, st.floats(100, 20_000))
def test_the_server_of_a_worker_has_its_rate(mean: float, rate: float) -> None:
    """Where the model could do more; else the model's. Batches filled up to a size in the table cost a little more."""
    lengths = mix(CPU, mean)
    full = full_load_seconds(server(CPU, lengths, rate), lengths)
    alone = full_load_seconds(server(CPU, lengths, float("inf")), lengths)
    assert full == pytest.approx(max(1 / rate, alone), rel=0.02)


# Profiles


def test_a_profile_is_kept(tmp_path: Path) -> None:
    """Written and read, it is the same."""
    path = tmp_path / "here.json"
    write(CPU, path)
    assert read(path) == CPU


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format"),
        ({"device": "tpu"}, "device"),
        ({"derate": 0}, "derate"),
        ({"more": 1}, "more"),
        ({"stages": {}}, "stages"),
        ({"stages": {"loop": {"per_review_us": -1}}}, "stages.loop.per_review_us"),
        ({"lengths": {"8": 0.5, "4": 0.5}}, "lengths must ascend"),
        ({"costs": {"lengths": [], "sizes": [], "seconds": []}}, "empty"),
        ({"costs": {"lengths": [4, 256], "sizes": [1], "seconds": [[1.0]]}}, "row per length"),
        ({"costs": {"lengths": [4, 256], "sizes": [1], "seconds": [[2.0], [1.0]]}}, "less time"),
        ({"costs": {"lengths": [4], "sizes": [1], "seconds": [[1.0]]}}, "before max_tokens"),
    ],
)
def test_a_damaged_profile_is_refused(changes: dict[str, Any], message: str) -> None:
    """By file, field and reason."""
    fields = {**json.loads(STORED["cpu"].read_text()), **changes}
    with pytest.raises(ProfileError, match=rf"^here\.json: .*{re.escape(message)}"):
        parse(json.dumps(fields).encode(), "here.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null"])
def test_what_is_no_profile_is_refused(content: bytes) -> None:
    """Without a traceback."""
    with pytest.raises(ProfileError, match=r"^here\.json: not "):
        parse(content, "here.json")


def test_a_profile_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    """The message is the system's."""
    with pytest.raises(ProfileError, match="No such file"):
        read(tmp_path / "none.json")
    with pytest.raises(ProfileError, match="Is a directory"):
        write(CPU, tmp_path)


# The command


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and what was printed."""
    done = CliRunner().invoke(app, ["plan", *arguments])
    return done.exit_code, done.output


def test_the_table_is_what_the_docs_show() -> None:
    """The worked example of docs/scaling.md, line by line, is what the command prints; its numbers are the plan's."""
    code, printed = run("--rate", "50000")
    page = (ROOT / "docs/scaling.md").read_text()
    shown = page.partition("    $ streamer plan --rate 50000\n")[2].partition("\n\n")[0]
    assert code == 0
    assert [line.removeprefix("    ") for line in shown.splitlines()] == [
        line.rstrip() for line in printed.splitlines()
    ]
    numbers = dict(re.findall(r"^(\w+) +(\d+)", printed, re.MULTILINE))
    expected = planned(CPU, 50_000, 45)
    assert (int(numbers["workers"]), int(numbers["partitions"])) == (expected.workers, expected.partitions)
    assert float(numbers["latency"]) == pytest.approx(expected.latency.p50, abs=1)


def test_json_is_the_plan() -> None:
    """All of its fields, and the profile's name."""
    code, printed = run("--rate", "50000", "--mean-tokens", "20", "--cores-per-host", "8", "--json")
    found = orjson.loads(printed)
    expected = planned(CPU, 50_000, 20, cores_per_host=8)
    assert code == 0
    assert (found["workers"], found["hosts"]) == (expected.workers, expected.hosts)
    assert found["latency"]["p99"] == pytest.approx(expected.latency.p99)
    assert found["profile"]["name"] == CPU.name


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    """A GPU's, which does not come along."""
    path = tmp_path / "gpu.json"
    write(gpu(name="my-gpu"), path)
    code, printed = run("--rate", "50000", "--device", "cuda", "--profile", str(path), "--json")
    assert code == 0
    assert orjson.loads(printed)["gpus"] >= 1
    assert run("--rate", "50000", "--device", "cpu", "--profile", str(path))[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "0"], "streamer: rate must be above 0"),
        (["--rate", "many"], "--rate"),
        ([], "--rate"),
        (["--rate", "9", "--mean-tokens", "5000"], "streamer: mean tokens"),
        (["--rate", "9", "--utilisation", "2"], "streamer: utilisation"),
        (["--rate", "9", "--cores-per-host", "0"], "streamer: a host"),
        (["--rate", "9", "--device", "tpu"], "--device"),
        (["--rate", "9", "--profile", "/none.json"], "streamer: /none.json: No such file"),
        (["--rate", "9", "--save", "f"], "streamer: --save"),
        (["--rate", "9", "--measure", "--profile", "f"], "streamer: --profile and --measure"),
    ],
)
def test_wrong_options_end_with_exit_code_2(arguments: list[str], message: str) -> None:
    """And a line that says which."""
    code, printed = run(*arguments)
    assert code == 2
    assert message in re.sub(r"\x1b\[[0-9;]*m", "", printed)


@pytest.mark.slow
def test_a_host_measures_itself(tmp_path: Path) -> None:
    """Without Kafka; what it saves plans the same elsewhere, and what needs Kafka keeps its proportions."""
    path = tmp_path / "here.json"
    # Its standard output alone: what other tests left to the garbage collector may be logged meanwhile.
    ended = streamer("plan", "--rate", "1000", "--mean-tokens", "20", "--measure", "--save", str(path), "--json")
    assert ended.code == 0, ended.stderr
    found, saved = orjson.loads(ended.stdout), read(path)
    assert found["profile"]["name"] == saved.name == f"{saved.device}-here"
    again = orjson.loads(run("--rate", "1000", "--mean-tokens", "20", "--profile", str(path), "--json")[1])
    assert again == found
    assert saved.stages.keys() == CPU.stages.keys()
    factor = saved.stages["loop"].per_review_us / CPU.stages["loop"].per_review_us
    publish = CPU.stages["publish"].per_review_us * factor
    assert saved.stages["publish"].per_review_us == pytest.approx(publish, rel=0.01)
    assert saved.output.size(20) > 300


def test_a_plan_needs_no_torch() -> None:
    """It should take a moment, on a laptop without a model too."""
    script = (
        "import sys; from streamer.cli import app\n"
        "try: app(['plan', '--rate', '9'])\n"
        "finally: assert 'torch' not in sys.modules and 'aiokafka' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
