"""What a start is made of: `python -m benchmarks.starting [--artefact DIR]` prints seconds as JSON and ends.

    imports    the interpreter is up; torch and everything else that `streamer run` imports
    model      the artefact is read, checked, loaded and gives its golden scores
    costs      the cost of batches is measured on this machine

What `streamer run` takes beyond these is the interpreter, and Kafka: connecting and joining the group.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path


def main() -> None:
    """One start, in the process that asks: run it afresh for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starting")
    parser.add_argument("--artefact", type=Path)
    options = parser.parse_args()
    begin = time.perf_counter()
    from streamer.service import build
    from streamer.settings import ModelSettings, Settings

    imported = time.perf_counter()
    settings = Settings(model=ModelSettings(path=options.artefact))
    model = build.load_model(settings)
    loaded = time.perf_counter()
    build.predictor(model, settings)
    measured = time.perf_counter()
    print(json.dumps({"imports": imported - begin, "model": loaded - imported, "costs": measured - loaded}))


if __name__ == "__main__":
    main()
