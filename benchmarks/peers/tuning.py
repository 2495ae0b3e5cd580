"""The tuning pass: each peer's best batch size, then one thread or torch's own choice, in short runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.peers.entrants import BATCHING, SIZES, Entrant
from benchmarks.peers.runs import Stage, run

_LEAST = 200  # Reviews in a run.
_MEASURED_SHARE = 0.9  # Of a run's reviews: the first tenth does not count.


@dataclass(frozen=True, slots=True)
class Trial:
    """A short run: at most so many reviews, so many seconds from the first result. sizes: the batches to try."""

    reviews: int
    seconds: float
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tuning:
    """Entrants with their best options, and what was found: reviews/s of the best, and of all that was tried."""

    entrants: list[Entrant] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    tried: dict[str, dict[str, float]] = field(default_factory=dict)


def tune(entrants: Sequence[Entrant], stage: Stage, trial: Trial, precision: str) -> Tuning:
    """Tune all but ours; add the best peer with our tokeniser, and with our `precision` too where it is bfloat16."""
    tuning = Tuning()
    for entrant in entrants:
        tuning.entrants.append(entrant if entrant.module is None else _best(entrant, stage, trial, tuning))
    for variant in _variants(tuning, precision):
        _try(variant, "as its peer", stage, trial, tuning)
        tuning.entrants.append(variant)
    return tuning


def reviews_for(rate: float | None, seconds: float, most: int) -> int:
    """So many reviews that the measured part of a run takes `seconds`; `most` where the rate is not known."""
    return most if rate is None else min(most, max(_LEAST, round(rate * seconds / _MEASURED_SHARE)))


def _best(entrant: Entrant, stage: Stage, trial: Trial, tuning: Tuning) -> Entrant:
    sizes = [size for size in entrant.sizes if size in trial.sizes or size not in SIZES]
    choices = [entrant.with_options(batch=str(size)) for size in sizes] or [entrant]
    rates = [_try(each, f"batch {each.options.get('batch', 1)}", stage, trial, tuning) for each in choices]
    chosen = choices[rates.index(max(rates))]
    alone = chosen.with_options(threads="1")
    single = _try(alone, f"batch {alone.options.get('batch', 1)}, 1 thread", stage, trial, tuning)
    return alone if single > max(rates) else chosen


def _try(entrant: Entrant, what: str, stage: Stage, trial: Trial, tuning: Tuning) -> float:
    rate = run(entrant, stage, trial.reviews, trial.seconds).reviews_per_second
    tuning.tried.setdefault(entrant.name, {})[what] = rate
    tuning.rates[entrant.name] = max(rate, tuning.rates.get(entrant.name, 0.0))
    print(f"tuning {entrant.name}: {what}, {rate:,.1f} reviews/s", flush=True)
    return rate


def _variants(tuning: Tuning, precision: str) -> list[Entrant]:
    batching = {each.name for each in BATCHING}
    peers = [each for each in tuning.entrants if each.name in batching]
    if not peers:
        return []
    best = max(peers, key=lambda each: tuning.rates[each.name])
    name, about = best.name, best.about.partition(",")[0]
    variants = [best.with_options(f"{name}_rjieba", f"{about}, with rjieba", tokeniser="rjieba")]
    if precision == "bfloat16":
        own = {"tokeniser": "rjieba", "precision": "bfloat16", "form": "gated"}
        variants.append(best.with_options(f"{name}_bfloat16", f"{about}, with rjieba and bfloat16", **own))
    return variants
