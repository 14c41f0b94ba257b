"""Prints how far quotes are from receipts on served load, through the tracker's public names.

python -m benchmarks.attribution.quoted [--servers affine,hard] [--concurrency 4,16] [--json]

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

from benchmarks.attribution.grid import CONCURRENCY, SENSORS, SERVERS, cell
from benchmarks.attribution.load import Job
from benchmarks.attribution.replay import replay
from benchmarks.attribution.tracked import Tracked
from inferprint import Quote, Range, Receipt

WARM_S = 60.0
LEAST_JOBS = 250
"""At a few in flight, more time is simulated so that there are this many or so."""

MOST_OUTPUT = 4_000


class Quoted(Tracked):
    """Follows the jobs with a tracker, and has it quote each as it arrives.

    Args:
        idle_w: idle power that its source declares.
    """

    def __init__(self, idle_w: float) -> None:
        super().__init__(idle_w)
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


def quote_errors(
    server: str, sensor: str, concurrency: int, seconds: float, seeds: Sequence[int]
) -> dict[str, Errors]:
    """The errors by what was quoted; runs last ``seconds``, or longer at a few in flight."""
    chosen = cell(server, concurrency, sensor)
    seconds = max(seconds, WARM_S + LEAST_JOBS / chosen.load.rate() / len(seeds))
    found: list[tuple[Receipt, Quote]] = []
    for seed in seeds:
        follower = Quoted(chosen.device.idle_w)
        jobs = replay(chosen.load, chosen.device, chosen.sensor, [follower], seconds, seed)
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
    names = lambda text: text.split(",")  # noqa: E731
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("--servers", type=names, default=list(SERVERS))
    parser.add_argument("--sensors", type=names, default=list(SENSORS)[:1])
    parser.add_argument("--concurrency", type=numbers, default=list(CONCURRENCY))
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--seeds", type=numbers, default=[1, 2, 3], help="such as 1001,1002")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    cells = []
    for server in args.servers:
        for sensor in args.sensors:
            for concurrency in args.concurrency:
                errors = quote_errors(server, sensor, concurrency, args.seconds, args.seeds)
                title = f"{server}, {sensor}, {concurrency} in flight"
                cells.append({"cell": title, **{name: asdict(one) for name, one in errors.items()}})
                if not args.json:
                    _print(title, errors)
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
