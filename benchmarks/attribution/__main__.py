"""Prints how far each rule of attribution is from the truth, and what the intervals cover.

The table and the plot go to benchmarks/results/ too.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.attribution.gates import verdicts
from benchmarks.attribution.grid import CELLS, QUICK, Cell, cells_like
from benchmarks.attribution.plot import MISSING, can_plot, plot
from benchmarks.attribution.runs import Result, plan, results_of
from benchmarks.attribution.score import score_cell
from benchmarks.attribution.tables import Report, as_dict, markdown
from inferprint_exporters.progress import tracked

# Below 1000 are those that constants may be chosen with: they are never reported.
SEEDS = (1000, 1001, 1002)
QUICK_S = 120.0
RESULTS = Path(__file__).parent.parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark from the command line; the exit status."""
    args = _arguments(arguments)
    cells = cells_like(args.cells or (QUICK if args.quick else ["*"]))
    if not cells:
        print(f"no cell is called like {args.cells}: one is {CELLS[0]}", file=sys.stderr)
        return 2
    seeds = args.seeds or SEEDS[: 1 if args.quick else None]
    report = _measured(cells, seeds, QUICK_S if args.quick else float("inf"), args.processes)
    print(json.dumps(as_dict(report), allow_nan=False) if args.json else markdown(report))
    partial = "-part" if args.quick or args.cells or args.seeds else ""
    _write(report, args.out, f"attribution{partial}")
    return int(args.check and not all(verdict.passed for verdict in report.verdicts))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.attribution", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="a part of the grid, one seed each")
    parser.add_argument(
        "--seeds", type=_numbers, help="such as 1000-1002,1010; below 1000 for tuning alone"
    )
    parser.add_argument(
        "--cells", action="append", metavar="PATTERN", help="such as 'hard/25-of-100/*'"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where table and plot go")
    parser.add_argument("--check", action="store_true", help="exit 1 if a gate is not passed")
    return parser.parse_args(arguments)


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _measured(
    cells: Sequence[Cell], seeds: Sequence[int], at_most_s: float, processes: int
) -> Report:
    runs = plan(cells, seeds, at_most_s)
    by_cell: dict[Cell, list[Result]] = defaultdict(list)
    for result in tracked(results_of(runs, processes), "runs", len(runs)):
        by_cell[result.run.cell].append(result)
    scores = [score_cell(cell, sorted(by_cell[cell], key=lambda r: r.run.seed)) for cell in cells]
    date = datetime.now(UTC).date().isoformat()
    return Report(date, platform.python_version(), seeds, scores, verdicts(scores))


def _write(report: Report, folder: Path, stem: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.md").write_text(markdown(report))
    if can_plot():
        plot(report, folder / f"{stem}.png")
    else:
        print(MISSING, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
