"""Published results beside what the public API makes of them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.published import bloom, hosted, sharing, site
from benchmarks.published.rows import Row
from inferprint_exporters.progress import tracked

# How far a row may be from what is published where all that goes into it is.
TOLERANCE = 0.01


def rows(quick: bool = False) -> list[Row]:
    """Every row, in the order of the table."""
    parts = (bloom, site, hosted, sharing)
    return [row for part in tracked(parts, "parts of the table") for row in part.rows(quick)]


def missed(found: Sequence[Row]) -> list[Row]:
    """The rows that should agree with what is published, and do not."""
    return [
        row
        for row in found
        if row.exact and (row.got is None or abs(row.got / row.published - 1) > TOLERANCE)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table.

    Returns:
        0; 1 when a row misses its published value by more than 1 %.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="replay fewer requests")
    arguments = parser.parse_args(argv)
    found = rows(arguments.quick)
    off = missed(found)
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in found], "missed": len(off)}))
    else:
        print(table(found))
        print(f"{len(off)} of {sum(row.exact for row in found)} rows with exact input are off.")
    return 1 if off else 0


def table(found: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| # | quantity | published | got | | method |", "|---|---|---|---|---|---|"]
    for row in found:
        got = "unknown" if row.got is None else f"{row.got:.4g} {row.unit}"
        compared = f"{row.got / row.published:.3f}" if row.got is not None else ""
        mark = compared if row.exact else f"({compared})" if compared else ""
        lines.append(
            f"| {row.row} | {row.quantity} | {row.published:.4g} {row.unit} | {got} | {mark} "
            f"| {row.note} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
