"""`python -m tests.fuzz TARGET --runs N`: atheris on one target. Ends with 0, or with the input that broke it."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["streamer"]):
    from tests.fuzz.targets import SEEDS, TARGETS

_LONGEST_INPUT = {"tokenise": 400}  # Bytes: a longer text has nothing new, and takes longer.
_LONGEST_OTHER_INPUT = 1024
_LONGEST_SECONDS = 60  # For one input, on a busy machine.


def main() -> None:
    """Instrument, seed, run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable()  # Of what is odd in millions of inputs.
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[options.target]):
            (Path(corpus) / str(number)).write_bytes(seed)
        longest = _LONGEST_INPUT.get(options.target, _LONGEST_OTHER_INPUT)
        flags = [f"-runs={options.runs}", f"-seed={options.seed}", f"-max_len={longest}"]
        flags += [f"-timeout={_LONGEST_SECONDS}", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *flags, corpus], TARGETS[options.target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
