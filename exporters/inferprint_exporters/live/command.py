"""``inferprint serve``: the live page, beside a tracker of this machine."""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from inferprint.cli import OK, Subparsers
from inferprint.cli.arguments import DAY_S, add_clients, between
from inferprint.cli.demo import load

if TYPE_CHECKING:
    from inferprint import Tracker
    from inferprint_exporters.live.exporter import LiveExporter

SERVE, SERVE_DEMO = "inferprint serve", "inferprint serve --demo"


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``serve``."""
    parser = subparsers.add_parser(
        "serve", help="show what requests cost on a page, live, in a browser"
    )
    parser.add_argument(
        "--port",
        type=between(int, 0, 65_535),
        metavar="P",
        help="port of the page, 0 for any free one (default: live_port, 9465)",
    )
    parser.add_argument("--host", help="address to listen on (default: live_host, 127.0.0.1)")
    parser.add_argument(
        "--demo", action="store_true", help="serve a small model here under load, to have requests"
    )
    add_clients(parser, "with --demo, ")
    parser.add_argument(
        "--seconds",
        type=between(float, 0, DAY_S),
        default=math.inf,
        metavar="N",
        help="for how long (default: until Ctrl-C)",
    )


def run(args: argparse.Namespace) -> int:
    """Serves the page until Ctrl-C, or for the given time.

    Raises:
        MissingExtra: what it needs is not installed.
        ConfigError: the port cannot be listened on.
    """
    from inferprint import Config, Tracker
    from inferprint_exporters.live.exporter import LiveExporter

    if args.demo:
        load(SERVE_DEMO)
    config = Config()
    config = replace(
        config,
        live_port=config.live_port if args.port is None else args.port,
        live_host=args.host or config.live_host,
        exporters=tuple(name for name in config.exporters if name != LiveExporter.name),
    )
    live = LiveExporter.from_config(config)
    work = _demo if args.demo else _watch
    # A service manager ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        work(Tracker(config, exporters=[live]), live, args)
    return OK


def _watch(tracker: Tracker, live: LiveExporter, args: argparse.Namespace) -> None:
    with tracker:
        print(
            f"The page: {live.url}",
            "It shows this machine's devices. A server shows its requests on a page of its own",
            "with INFERPRINT_EXPORTERS=live; for requests to look at: inferprint serve --demo",
            sep="\n",
            flush=True,
        )
        _wait(args.seconds)


def _wait(seconds: float) -> None:
    threading.Event().wait(None if seconds == math.inf else seconds)


def _demo(tracker: Tracker, live: LiveExporter, args: argparse.Namespace) -> None:
    from inferprint.demo.arrays import best_arrays
    from inferprint.demo.clients import serve
    from inferprint.demo.engine import Engine
    from inferprint.demo.show import MOST_SLOTS, QUIET_S, warm

    model = warm(best_arrays(), min(args.clients, MOST_SLOTS))
    with tracker, Engine(model) as engine:
        print(f"The page: {live.url}", "Ctrl-C ends it.", sep="\n", flush=True)
        time.sleep(QUIET_S)
        asyncio.run(serve(tracker, engine, args.clients, args.seconds))
