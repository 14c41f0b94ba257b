"""The report as a page of Markdown, and as one JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from benchmarks.attribution.gates import Verdict
from benchmarks.attribution.rules import RULES
from benchmarks.attribution.runs import OURS
from benchmarks.attribution.score import CellScore, Score

NAMES = (*RULES, OURS)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run of the benchmark has to tell.

    Args:
        date: when, as ISO 8601 has it.
        python: its version.
        seeds: of the runs of each cell.
        scores: of the cells.
        verdicts: on them.
    """

    date: str
    python: str
    seeds: Sequence[int]
    scores: Sequence[CellScore]
    verdicts: Sequence[Verdict]


def as_dict(report: Report) -> dict[str, Any]:
    """The report in plain dicts, lists, texts and numbers; unknown is None."""
    return {
        "date": report.date,
        "python": report.python,
        "seeds": list(report.seeds),
        "cells": [_cell_as_dict(score) for score in report.scores],
        "gates": [verdict._asdict() for verdict in report.verdicts],
    }


def _cell_as_dict(score: CellScore) -> dict[str, Any]:
    return {
        **score.cell._asdict(),
        "runs": [{"seed": r.seed, "seconds": r.seconds, "gains": r.gains} for r in score.runs],
        "errors": _errors_as_dict(score.errors),
        "errors_as_they_stand": _errors_as_dict(score.errors_as_they_stand),
        "coverage": dict(score.coverage),
        "unknown": score.unknown,
        "closure_error": score.closure_error,
        "twins": score.twins and score.twins._asdict(),
    }


def _errors_as_dict(errors: Any) -> dict[str, Any]:
    return {
        when: {rule: score and score._asdict() for rule, score in by_rule.items()}
        for when, by_rule in errors.items()
    }


def markdown(report: Report) -> str:
    """The report as a page."""
    seeds = ", ".join(map(str, report.seeds))
    passed = sum(verdict.passed for verdict in report.verdicts)
    coverage = [v.figures["coverage"] for v in report.verdicts if v.gate == "coverage"]
    return (
        "\n\n".join(
            [
                "# Attribution beside the truth",
                f"{report.date}, Python {report.python}, seeds {seeds}. Made by "
                "`python -m benchmarks.attribution`; `benchmarks/README.md` says what it means.",
                f"{passed} of {len(report.verdicts)} gates passed. The receipts' 90 % intervals "
                f"cover {_percents(coverage)} of the truth, mean of the cells.",
                "## After the first minute, gain divided out",
                "Error of a request's active energy in percent: median / 95th percentile / signed "
                "median.",
                _table(["cell", "requests", *NAMES], map(_after, report.scores)),
                "## Ours",
                "`first 60 s`, `all`: median / 95th percentile, gain divided out. `as it stands`: "
                "the same after the first minute with the boards' gains, which are within ± 5 %. "
                "`covered`: share of the true energies, idle included, in the receipts' intervals, "
                "gains not divided out. `twins`: worst difference between identical requests.",
                _table(
                    [
                        "cell",
                        "first 60 s",
                        "overlap, first",
                        "all",
                        "overlap, all",
                        "as it stands",
                        "total",
                        "covered",
                        "closure",
                        "twins",
                        "unknown",
                    ],
                    map(_ours, report.scores),
                ),
                "## Gates",
                _table(
                    ["gate", "where", "found", "limit", ""], map(_verdict, _shown(report.verdicts))
                ),
            ]
        )
        + "\n"
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _after(score: CellScore) -> list[str]:
    after = score.errors["after"]
    requests = max((found.requests for found in after.values() if found), default=0)
    return [str(score.cell), str(requests), *(_triple(after.get(name)) for name in NAMES)]


def _ours(score: CellScore) -> list[str]:
    errors, after = score.errors, score.errors["after"].get(OURS)
    return [
        str(score.cell),
        _pair(errors["first"].get(OURS)),
        _pair(errors["first"].get("overlap")),
        _pair(errors["all"].get(OURS)),
        _pair(errors["all"].get("overlap")),
        _pair(score.errors_as_they_stand["after"].get(OURS)),
        f"{100 * after.total:+.1f}" if after else "",
        _percent(score.coverage["all"]),
        f"{score.closure_error:.0e}",
        f"{100 * score.twins.worst:.3f} %" if score.twins else "",
        str(score.unknown or ""),
    ]


def _triple(score: Score | None) -> str:
    return f"{_pair(score)} / {_number(100 * score.bias, '+')}" if score else ""


def _pair(score: Score | None) -> str:
    return f"{_number(100 * score.median)} / {_number(100 * score.p95)}" if score else ""


def _number(percent: float, sign: str = "") -> str:
    return f"{percent:{sign}.1f}" if abs(percent) < 100 else f"{percent:{sign},.0f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _percents(shares: Iterable[float]) -> str:
    return ", ".join(f"{100 * share:.1f} %" for share in shares) or "an unknown part"


def _shown(verdicts: Sequence[Verdict]) -> Iterable[Verdict]:
    """Books that close need no line for each cell."""
    for gate, found in groupby(sorted(verdicts, key=_place), key=lambda v: v.gate):
        group = list(found)
        if gate == "closure" and all(verdict.passed for verdict in group):
            yield max(group, key=lambda v: v.figures["closure_error"])._replace(cell="every cell")
        else:
            yield from group


def _place(verdict: Verdict) -> str:
    return verdict.gate


def _verdict(verdict: Verdict) -> list[str]:
    return [
        verdict.gate,
        verdict.cell,
        _named(verdict.figures),
        _named(verdict.limits),
        "pass" if verdict.passed else "**fail**",
    ]


def _named(figures: dict[str, float]) -> str:
    return ", ".join(
        f"{name} {value:.0e}" if name == "closure_error" else f"{name} {100 * value:.2f} %"
        for name, value in figures.items()
    )
