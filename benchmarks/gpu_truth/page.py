"""The report as a page of markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

REHEARSAL = (
    "**A rehearsal: a tiny model on a CPU whose power is modelled. "
    "Nothing in it is a truth about a GPU.**"
)
PLAYERS = {
    "player": "request",
    "input_tokens": "prompt",
    "output_tokens": "output",
    "shapley_j": "Shapley J",
    "shapley_low_j": "low",
    "shapley_high_j": "high",
    "receipt_j": "receipt J",
    "receipt_low_j": "low",
    "receipt_high_j": "high",
    "error_percent": "error %",
}


def page(report: Mapping[str, Any]) -> str:
    """The whole report but for the single measurements, which are in its JSON."""
    board = report["board"]
    heading = f"# {board['name']}, {report['date']}"
    parts = [heading, *([REHEARSAL] if report["rehearsal"] else [])]
    parts.append(_figures({**board, **report["setting"]}))
    parts.append("## What each request used, of all together\n\n" + _players(report["players"]))
    titles = [t for t in ("together", "closure", "idle", "counter") if report[t] is not None]
    parts += [f"## {title.capitalize()}\n\n" + _figures(report[title]) for title in titles]
    if report["nvml_calls"] is not None:
        parts.append("## NVML calls\n\n" + _calls(report["nvml_calls"]))
    return "\n\n".join(parts) + "\n"


def _players(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(list(PLAYERS.values()), [[row[name] for name in PLAYERS] for row in rows])


def _figures(figures: Mapping[str, Any]) -> str:
    return table(["figure", "value"], list(figures.items()))


def _calls(calls: Mapping[str, Mapping[str, float] | None]) -> str:
    rows = [
        [name, *((cost["median_us"], cost["p99_us"]) if cost else (None, None))]
        for name, cost in calls.items()
    ]
    return table(["call", "median µs", "p99 µs"], rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; what is not known reads so."""
    lines = [columns, ["---"] * len(columns), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(value: object) -> str:
    if value is None:
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
