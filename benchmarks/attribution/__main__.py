"""Prints how far each rule of attribution is from the truth.

python -m benchmarks.attribution [--servers affine,hard] [--concurrency 1,16] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict

from benchmarks.attribution.grid import CONCURRENCY, SENSORS, SERVERS, cell
from benchmarks.attribution.score import Score, score_cell


def main() -> None:
    """Runs the cells that were asked for."""
    args = _arguments()
    results = []
    for server in args.servers:
        for sensor in args.sensors:
            for concurrency in args.concurrency:
                scores = score_cell(
                    cell(server, concurrency, sensor), args.seconds, range(1, args.seeds + 1)
                )
                if not args.json:
                    _print(f"{server}, {sensor}, {concurrency} in flight", scores)
                results.append(_as_dict(server, sensor, concurrency, scores))
    if args.json:
        print(json.dumps({"seconds": args.seconds, "seeds": args.seeds, "cells": results}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.attribution", description=__doc__)
    names = lambda text: text.split(",")  # noqa: E731
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("--servers", type=names, default=list(SERVERS))
    parser.add_argument("--sensors", type=names, default=list(SENSORS)[:1])
    parser.add_argument("--concurrency", type=numbers, default=list(CONCURRENCY))
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each cell")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _as_dict(
    server: str, sensor: str, concurrency: int, scores: Mapping[str, Mapping[str, Score | None]]
) -> dict[str, object]:
    return {
        "server": server,
        "sensor": sensor,
        "concurrency": concurrency,
        **{
            when: {rule: score and asdict(score) for rule, score in by_rule.items()}
            for when, by_rule in scores.items()
        },
    }


def _print(title: str, scores: Mapping[str, Mapping[str, Score | None]]) -> None:
    print(f"\n{title}\n{'median / p95, %':>16s}   after 60 s      first 60 s      bias")
    for rule, after in scores["after"].items():
        first = scores["first"][rule]
        bias = f"{100 * after.bias:+6.1f}" if after else ""
        print(f"{rule:>16s}  {_pair(after)}  {_pair(first)}  {bias}", flush=True)


def _pair(score: Score | None) -> str:
    return f"{100 * score.median:6.1f} / {100 * score.p95:6.1f}" if score else f"{'-':>15s}"


if __name__ == "__main__":
    main()
