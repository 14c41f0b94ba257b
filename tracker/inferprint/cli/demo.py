"""``inferprint demo``: a small model served under load here, with a receipt per request."""

from __future__ import annotations

import argparse
import os

from inferprint.cli import FAILED, OK, Subparsers
from inferprint.cli.arguments import DAY_S, add_clients, between
from inferprint.errors import MissingExtra

BLAS_THREADS = "1"


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``demo``."""
    parser = subparsers.add_parser(
        "demo", help="serve a small model here under load and print a receipt per request"
    )
    parser.add_argument(
        "--seconds",
        type=between(float, 0, DAY_S),
        default=20.0,
        metavar="N",
        help="how long (default: 20)",
    )
    add_clients(parser)
    parser.add_argument(
        "--metrics-port",
        type=between(int, 0, 65_535),
        metavar="P",
        help="port of the Prometheus metrics, 0 for any free one (default: 9464 if it is free)",
    )
    parser.add_argument(
        "--hold",
        type=between(float, 0, DAY_S),
        default=0.0,
        metavar="N",
        help="serve the metrics for N s more after the balance (default: 0)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def run(args: argparse.Namespace) -> int:
    """Serves for the given time; Ctrl-C ends it early, with the balance so far.

    Raises:
        MissingExtra: numpy is not installed.
        ConfigError: the metrics port that was asked for cannot be listened on.
    """
    load("inferprint demo")
    from inferprint.demo.show import show

    try:
        show(args.seconds, args.clients, args.metrics_port, as_json=args.json, hold_s=args.hold)
    except KeyboardInterrupt:
        return FAILED
    return OK


def load(what: str) -> None:
    """Loads what the demo computes with.

    Args:
        what: the command that wants it.

    Raises:
        MissingExtra: numpy is not installed.
    """
    # BLAS reads this when numpy is loaded. Its threads wait for each other by spinning: on
    # products this small, on a busy machine, several took three times as long as one.
    os.putenv("OPENBLAS_NUM_THREADS", BLAS_THREADS)
    try:
        import numpy  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra(what, "demo") from None
