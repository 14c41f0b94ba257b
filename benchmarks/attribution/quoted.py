"""Prints how far quotes are from receipts on served load, through the tracker's public names.

python -m benchmarks.attribution.quoted [--cells 'hard/25-of-100/*'] [--seeds 1001,1002] [--json]

Every job is quoted as it arrives, once with the length of its output and once with a maximum
alone. Those that start after the first minute and come to their own end are counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import asdict, dataclass

from benchmarks.attribution.grid import Cell, cells_like
from benchmarks.attribution.load import Job
from benchmarks.attribution.replay import Replay
from benchmarks.attribution.runs import plan
from benchmarks.attribution.tracked import Tracked
from inferprint import Quote, Range, Receipt

WARM_S = 60.0
CELLS = ("affine/25-of-100/*", "saturating/25-of-100/*", "hard/25-of-100/*")
MOST_OUTPUT = 4_000


class Quoted(Tracked):
    """Follows the jobs with a tracker, and has it quote each as it arrives.

    Args:
        boards: how many there are.
    """

    def __init__(self, boards: int) -> None:
        super().__init__(boards)
        self._guesses: dict[Job, Quote] = {}

    def start(self, job: Job, at_s: float) -> None:
        """A job arrives."""
        self._at(at_s)
        tracker, model = self._tracker, job.engine.name
        self._guesses[job] = tracker.quote(
            model, job.prompt, max_output_tokens=MOST_OUTPUT, cached_input_tokens=job.cached
        )
        quote = tracker.quote(
            model, job.prompt, output_tokens=job.output, cached_input_tokens=job.cached
        )
        context, request = Context(), tracker.request(model, quote=quote)
        context.run(request.__enter__)
        self._requests[job] = context, request
        if job.streamed:
            request.add_tokens(input=job.prompt, cached_input=job.cached)

    def pairs(self) -> dict[Job, tuple[Receipt, Quote]]:
        """The receipt of each job that has ended, and its quote by a maximum alone."""
        self._tracker.stop()
        return {
            job: (request.receipt(), self._guesses[job]) for job, request in self._ended.items()
        }


@dataclass(frozen=True, slots=True)
class Errors:
    """How far quotes were from what requests used.

    Args:
        requests: how many there were.
        unknown: quotes that knew nothing.
        median: of the absolute relative errors of the middle.
        bias: the median of used over quoted, less 1.
        covered: part of the requests that were within the interval.
        width: the median of its upper over its lower end.
    """

    requests: int
    unknown: int
    median: float
    bias: float
    covered: float
    width: float


def quote_errors(cell: Cell, seeds: Sequence[int], at_most_s: float) -> dict[str, Errors]:
    """The errors by what was quoted."""
    found: list[tuple[Receipt, Quote]] = []
    for run in plan([cell], seeds, at_most_s):
        follower = Quoted(cell.scene.device.boards)
        jobs = Replay(cell.scene, run.gains, [follower], run.seed).run(run.seconds)
        pairs = follower.pairs()
        found += [
            pairs[job]
            for job in jobs
            if job in pairs and job.arrives_s >= WARM_S and not job.cancelled
        ]
    return {
        "energy": _errors(found, lambda r, _: (_mid(r.energy.total_j), _energy(r.quote))),
        "time": _errors(
            found, lambda r, _: (r.duration_s, r.quote.duration_s if r.quote else None)
        ),
        "energy, maximum alone": _errors(
            found, lambda r, guess: (_mid(r.energy.total_j), _energy(guess))
        ),
    }


def _mid(figure: Range | None) -> float | None:
    return None if figure is None else figure.mid


def _energy(quote: Quote | None) -> Range | None:
    return None if quote is None else quote.energy.total_j


def _errors(
    found: Sequence[tuple[Receipt, Quote]],
    figures: Callable[[Receipt, Quote], tuple[float | None, Range | None]],
) -> Errors:
    both = [figures(*pair) for pair in found]
    known = [(actual, range_) for actual, range_ in both if actual and range_ is not None]
    errors = [actual / range_.mid - 1 for actual, range_ in known]
    return Errors(
        len(found),
        len(found) - len(known),
        statistics.median(map(abs, errors)),
        statistics.median(errors),
        statistics.fmean(range_.low <= actual <= range_.high for actual, range_ in known),
        statistics.median(range_.high / range_.low for _, range_ in known),
    )


def main() -> None:
    """Runs the cells that were asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.attribution.quoted", description=__doc__)
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("--cells", action="append", metavar="PATTERN", help=f"default: {CELLS}")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of a run, at most")
    parser.add_argument("--seeds", type=numbers, default=[1, 2, 3], help="such as 1001,1002")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    cells = []
    for cell in cells_like(args.cells or CELLS):
        errors = quote_errors(cell, args.seeds, args.seconds)
        cells.append({"cell": str(cell), **{name: asdict(one) for name, one in errors.items()}})
        if not args.json:
            _print(str(cell), errors)
    if args.json:
        print(json.dumps({"seeds": args.seeds, "cells": cells}))


def _print(title: str, errors: dict[str, Errors]) -> None:
    print(title)
    for name, one in errors.items():
        print(
            f"  {name:22} median {100 * one.median:5.1f} %  bias {100 * one.bias:+5.1f} %  "
            f"covered {100 * one.covered:5.1f} %  x {one.width:.2f}  "
            f"of {one.requests}, {one.unknown} unknown",
            flush=True,
        )


if __name__ == "__main__":
    main()
