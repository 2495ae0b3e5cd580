"""How much of the code the tests have run, by branch, in all of their processes: `python -m tests.covered`.

Prints the total and the files with the least, and ends with 2 where the total is below `fail_under` of pyproject.toml.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

WORST = 10  # So many files are listed, of those below `LOW` per cent.
LOW = 90


def main() -> int:
    coverage = Coverage()
    coverage.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "coverage.json")
        coverage.json_report(outfile=str(report))
        found = json.loads(report.read_text())
    shares = {name: file["summary"]["percent_covered"] for name, file in found["files"].items()}
    low = sorted((share, name) for name, share in shares.items() if share < LOW)
    for share, name in low[:WORST]:
        print(f"{share:6.1f} %  {name}")
    total, floor = found["totals"]["percent_covered"], float(coverage.get_option("report:fail_under") or 0)  # type: ignore[arg-type]
    print(f"{total:6.1f} %  in all of {len(shares)} files, {len(low)} of them below {LOW} %; the floor is {floor:g} %")
    return 2 if total < floor else 0


if __name__ == "__main__":
    sys.exit(main())
