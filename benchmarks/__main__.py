"""The benchmark: `python -m benchmarks PART [options]`, `python -m benchmarks report`."""

from __future__ import annotations

import argparse
import shlex
import sys
from importlib import import_module
from typing import cast

from benchmarks.record import Part, record
from benchmarks.report import write_report

PARTS = ("throughput", "stages", "policies", "end_to_end", "latency", "scale", "gpu")


def main(argv: list[str] | None = None) -> None:
    """Measure a part and record it, or write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="part", required=True)
    commands.add_parser("report", help="write docs/performance.md from what is recorded")
    modules = {name: cast(Part, import_module(f"benchmarks.{name}")) for name in PARTS}
    for name, part in modules.items():
        text = part.__doc__ or ""
        child = commands.add_parser(
            name, help=text.partition("\n")[0], description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        part.arguments(child)
        child.add_argument("--no-record", action="store_true", help="print the figures only")
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    if options.part != "report":
        part = modules[options.part]
        figures = part.measure(options)
        print(part.section(figures))
        if not options.no_record:
            print(record(options.part, f"python -m benchmarks {shlex.join(arguments)}", figures))
            write_report(modules)
    else:
        write_report(modules)


if __name__ == "__main__":
    main()
