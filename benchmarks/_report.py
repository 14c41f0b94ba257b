"""The command line that the benchmarks share, and how they print what they found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Report = Mapping[str, Any]
"""Figures by name, the unit last in it; or groups of figures, by name."""


def main(description: str | None, measure: Callable[[bool], Report]) -> None:
    """Runs a benchmark from the command line and prints its report.

    Args:
        description: for ``--help``.
        measure: makes the report; told whether to be quick.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter measurements")
    arguments = parser.parse_args()
    report = measure(arguments.quick)
    if arguments.json:
        print(json.dumps(report, allow_nan=False))
    else:
        print(table(report))


def table(report: Report) -> str:
    """A line for every figure, or for every group with its figures in columns."""
    if not any(isinstance(value, Mapping) for value in report.values()):
        return _aligned([[name, _text(value)] for name, value in report.items()])
    columns = list(dict.fromkeys(name for group in report.values() for name in group))
    rows = [[name, *(_text(group.get(c, "")) for c in columns)] for name, group in report.items()]
    return _aligned([["", *columns], *rows])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
