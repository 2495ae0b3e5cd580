"""The stages and the whole way on a CUDA device.

Collating, copying to the device and inferring at several lengths and sizes, in float16 and float32; then a topic worked
off end to end. Without a CUDA device it ends with exit code 2; `--dry-run` runs the same code on the CPU, at tiny
sizes, and records nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes

from benchmarks.contenders import NotRunning, Wiring, ours, running
from benchmarks.curves import Curve, draw, lines, logarithmic
from benchmarks.load import Results, backlog_rate, fill
from streamer.models.artefact import BUNDLED, Artefact, read_artefact
from streamer.models.torchscript import Model, Precision
from streamer.text import Encoded
from tests.brokers import Chain, Wanted, new_topic, providers

LENGTHS = (16, 48, 128, 256)
SIZES = (1, 16, 64, 256, 1024)
_PRECISIONS: tuple[Precision, ...] = ("float16", "float32")
_EVIDENCE = 5  # Tokens, as the service has it by default.
_TIMEOUT_S = 300.0
_EMBEDDED_REVIEWS = 20_000  # The embedded broker keeps no more than 5 MB of a partition.


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options; a run of record takes about three minutes."""
    add = parser.add_argument
    add("--dry-run", action="store_true", help="on the CPU, with tiny sizes: shows that it works")
    add("--lengths", type=int, nargs="+", default=list(LENGTHS), help="tokens")
    add("--sizes", type=int, nargs="+", default=list(SIZES), help="reviews in a batch")
    add("--repeats", type=int, default=50, help="of which the median counts")
    add("--reviews", type=int, default=200_000, help="end to end; 0 leaves that out")
    add("--partitions", type=int, default=6)
    add("--artefact", type=Path, default=Path(os.environ.get("STREAMER_MODEL__PATH", BUNDLED)))
    add("--set", action="append", default=[], metavar="SECTION__NAME=VALUE", help="a setting, end to end")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Time the stages, then the whole way. Ends the process with 2 where there is no CUDA device."""
    if options.dry_run:
        options.no_record = True  # It says nothing about a GPU.
        options.lengths, options.sizes, options.repeats = [4, 8], [1, 4], 2
        options.reviews = min(options.reviews, 200)
    elif not torch.cuda.is_available():
        print("gpu: torch finds no CUDA device; --dry-run tries this part on the CPU", file=sys.stderr)
        raise SystemExit(2)
    device = "cpu" if options.dry_run else "cuda"
    artefact = read_artefact(options.artefact)
    stages = []
    for precision in _PRECISIONS:
        model = Model(artefact, device, precision, _EVIDENCE)
        stages += _stages(model, options.lengths, options.sizes, options.repeats)
    settings = {name: value for name, _, value in (text.partition("=") for text in options.set)}
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu (dry run)",
        "cuda": torch.version.cuda,
        "repeats": options.repeats,
        "stages": stages,
        "end_to_end": _end_to_end(options, artefact, device, settings) if options.reviews else None,
    }


def _stages(model: Model, lengths: list[int], sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    """Median seconds of a batch in each stage, by length and size."""
    found = []
    for length in (length for length in lengths if length <= model.manifest.max_tokens):
        review = Encoded(b"\1\0\0\0\0\0\0\0" * length, ("",) * length, False)
        for size in sizes:
            times = _batch([review] * size, model, length, repeats)
            found.append({"precision": model.precision, "length": length, "size": size, "seconds": times})
    return found


def _batch(batch: Sequence[Encoded], model: Model, length: int, repeats: int) -> dict[str, float]:
    """Median seconds of each stage."""
    size = len(batch)
    on_host = torch.ones((length, size), dtype=torch.int64)
    ids = model.collate(batch, length, size)
    work: dict[str, Callable[[], object]] = {
        "collate": lambda: model.collate(batch, length, size),
        "copy": lambda: on_host.to(model.device, copy=True),
        "infer": lambda: model.forward(ids),
        "predict": lambda: model.predict(batch),
    }
    return {stage: _seconds(its, model.device, repeats) for stage, its in work.items()}


def _seconds(work: Callable[[], object], device: str, repeats: int) -> float:
    """The median of `repeats` runs, after three that warm up; the device has finished at the end of each."""
    taken = []
    for number in range(repeats + 3):
        begin = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if number >= 3:
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def _end_to_end(
    options: argparse.Namespace, artefact: Artefact, device: str, settings: Mapping[str, str]
) -> dict[str, Any]:
    """Reviews a second of one worker from a filled topic."""
    chosen, kind = _texts(artefact)
    given = {"MODEL__DEVICE": device} | dict(settings)
    chain = Chain(providers(os.environ))
    with chain.running(Wanted()) as cluster, tempfile.TemporaryDirectory() as folder:
        count = min(options.reviews, _EMBEDDED_REVIEWS) if chain.missing(["storage"]) else options.reviews
        into, out = (new_topic(cluster, options.partitions) for _ in range(2))
        dead = new_topic(cluster, 1)
        wiring = Wiring(cluster.bootstrap, into, out, dead, f"group-{into}", options.artefact.resolve())
        fill(wiring.bootstrap, into, "gpu", (chosen[i % len(chosen)] for i in range(count)))
        log = Path(folder, "log")
        with Results(wiring.bootstrap, out) as results, running(ours(given)(wiring), log) as service:
            rate = backlog_rate(results, "gpu", count, _TIMEOUT_S, service.alive)
            if code := service.stop():
                raise NotRunning(f"ended with {code}:\n{service.log[-2000:]}")
    return {
        "reviews": count,
        "reviews_per_second": rate,
        "texts": kind,
        "partitions": options.partitions,
        "settings": settings,
        "broker": chain.describe(),
    }


def _texts(artefact: Artefact) -> tuple[list[str], str]:
    """Real shop reviews; where they are not to be had, as on a machine without network, the golden texts."""
    import pytest

    from benchmarks.load import texts

    try:
        return texts(50_000), "real shop reviews"
    except pytest.skip.Exception:
        return [text for text, _ in artefact.golden], "the artefact's golden texts"


def section(figures: Mapping[str, Any]) -> str:
    """The stages at each length and size, and the rate end to end."""
    cuda = f", CUDA {figures['cuda']}" if figures["cuda"] else ""
    text = [
        f"On {figures['device']}{cuda}. Milliseconds of a batch, median of {figures['repeats']}, the device having "
        "finished: *collate* makes the batch from token ids and takes it to the device, *copy* is that last step "
        "alone, *infer* gives scores back to the host, *predict* is all of a batch from token ids to predictions "
        "with evidence.",
        "",
        "| precision | tokens | reviews | collate | copy | infer | predict | reviews/s |",
        "|:--|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for found in figures["stages"]:
        taken = found["seconds"]
        cells = " | ".join(f"{1000 * taken[stage]:.3f}" for stage in ("collate", "copy", "infer", "predict"))
        rate = found["size"] / taken["predict"]
        text.append(f"| {found['precision']} | {found['length']} | {found['size']:,} | {cells} | {rate:,.0f} |")
    if whole := figures["end_to_end"]:
        text += [
            "",
            f"End to end, one worker, {whole['partitions']} partitions, {whole['reviews']:,} reviews "
            f"({whole['texts']}): {whole['reviews_per_second']:,.0f} reviews/s.",
        ]
    return "\n".join(text)


def plots(figures: Mapping[str, Any]) -> dict[str, bytes]:
    """Reviews a second of `predict` by the size of the batch, a line for each length, a panel for each precision."""

    def onto(axes: Sequence[Axes]) -> None:
        for panel, precision in zip(axes, _PRECISIONS, strict=True):
            stages = [found for found in figures["stages"] if found["precision"] == precision]
            curves = [
                Curve(
                    f"{length} tokens",
                    [found["size"] for found in stages if found["length"] == length],
                    [found["size"] / found["seconds"]["predict"] for found in stages if found["length"] == length],
                )
                for length in dict.fromkeys(found["length"] for found in stages)
            ]
            lines(panel, curves, "reviews in a batch", "reviews/s", precision)
            logarithmic(panel, "x", base=2)
            logarithmic(panel, "y")

    return {"gpu.png": draw(8.4, 3.0, 2, onto)}
