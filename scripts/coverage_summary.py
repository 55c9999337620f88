"""Print the coverage of lines and branches: in total, and of the files with most missed branches.

Reads the combined data (COVERAGE_FILE). Exits with 1 if the total is below the goal in
pyproject.toml (`fail_under`).
"""

import json
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

WORST = 10


def main() -> int:
    coverage = Coverage()
    coverage.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coverage.json")
        total = coverage.json_report(outfile=str(path))
        files = json.loads(path.read_bytes())["files"]
    by_misses = sorted(
        ((name, file["summary"]) for name, file in files.items()),
        key=lambda pair: (-pair[1]["missing_branches"], pair[0]),
    )
    print(f"\n{'missed':>8} {'branches':>9} {'covered':>8}  file")
    for name, counts in by_misses[:WORST]:
        missed, branches = counts["missing_branches"], counts["num_branches"]
        print(f"{missed:>8} {branches:>9} {counts['percent_covered']:>7.1f}%  {name}")
    goal = float(coverage.get_option("report:fail_under") or 0)  # type: ignore[arg-type]
    print(f"\nCoverage of lines and branches: {total:.1f} % (goal: {goal:g} %)")
    return total < goal


if __name__ == "__main__":
    sys.exit(main())
