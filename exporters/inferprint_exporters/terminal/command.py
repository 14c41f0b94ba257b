"""``inferprint top``: what devices, models and requests use now, live in the terminal."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

from inferprint.cli import OK, Subparsers
from inferprint.cli.arguments import add_clients, between
from inferprint.errors import InferprintError, MissingExtra

if TYPE_CHECKING:
    from inferprint_exporters.terminal.attached import Attached
    from inferprint_exporters.terminal.local import Local
    from inferprint_exporters.terminal.view import View

# How long one view waits for power to be known, and in the demo for a receipt.
DEVICES_WITHIN_S, DEMO_WITHIN_S = 3.0, 30.0

LEAST_INTERVAL_S = 0.1


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``top``."""
    parser = subparsers.add_parser(
        "top",
        help="show what devices, models and requests use now, live in the terminal",
        description="Shows the server whose metrics answer on prometheus_host and "
        "prometheus_port; if there is none, this machine's devices.",
    )
    looks_at = parser.add_mutually_exclusive_group()
    looks_at.add_argument(
        "--metrics", metavar="URL", help="a server's metrics, such as http://host:9464/metrics"
    )
    looks_at.add_argument(
        "--devices", action="store_true", help="this machine's devices, whoever serves here"
    )
    looks_at.add_argument(
        "--demo", action="store_true", help="a small model that is served here under load"
    )
    add_clients(parser, "with --demo, ")
    parser.add_argument(
        "--interval",
        type=between(float, 0, 3600),
        default=1.0,
        metavar="N",
        help="seconds between two looks, a tenth at least (default: 1)",
    )
    parser.add_argument("--once", action="store_true", help="look once, print it and end")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a look")
    parser.add_argument("--no-color", action="store_true", help="no colours, as with NO_COLOR=1")


def run(args: argparse.Namespace) -> int:
    """Shows it until Ctrl-C, or once.

    Returns:
        0; 1 when there is nothing to see at the URL that ``--once`` looks at.

    Raises:
        MissingExtra: rich is not installed.
        ConfigError: a setting or the URL is not usable.
    """
    try:
        from inferprint_exporters.terminal.loop import Shown, show
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        raise MissingExtra("inferprint top", "terminal") from None
    shown = Shown(as_json=args.json, colour=False if args.no_color else None)
    # A service manager ends it as Ctrl-C does, so that the terminal is left as it was.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), _quiet_pipe(), _looked_at(args) as found:
        if args.once:
            shown.once(_once(found))
        else:
            show(found.take, shown, max(LEAST_INTERVAL_S, args.interval))
    return OK


@contextmanager
def _looked_at(args: argparse.Namespace) -> Iterator[Attached | Local]:
    from inferprint_exporters.terminal.attached import Attached, metrics_url

    if args.metrics is not None:
        yield Attached(metrics_url(args.metrics))
        return
    if not (args.demo or args.devices) and (server := _server_here()) is not None:
        yield server
        return
    from inferprint_exporters.terminal.local import demo, devices

    with demo(args.clients) if args.demo else devices() as local:
        yield local


def _server_here() -> Attached | None:
    """The server that the settings' host and port lead to; None: there is none."""
    from inferprint._config import Config
    from inferprint_exporters.terminal.attached import Attached

    config = Config()
    if not config.prometheus_port:
        return None
    host = config.prometheus_host
    # A server that listens on all addresses answers on this machine's own.
    with suppress(ValueError):
        if (address := ip_address(host)).is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
    named = f"[{host}]" if ":" in host else host
    server = Attached(f"http://{named}:{config.prometheus_port}/metrics")
    try:
        server.fetch()
    except InferprintError:
        return None
    return server


def _once(found: Attached | Local) -> View:
    from inferprint_exporters.terminal.attached import Attached
    from inferprint_exporters.terminal.local import wait_until

    if isinstance(found, Attached):
        return found.fetch()
    if found.mode == "demo":
        return wait_until(found, _has_receipts, DEMO_WITHIN_S)
    return wait_until(found, _has_power, DEVICES_WITHIN_S)


def _has_power(view: View) -> bool:
    return bool(view.devices) and all(row.power_w is not None for row in view.devices)


def _has_receipts(view: View) -> bool:
    return bool(view.requests) and any(row.requests for row in view.models)


@contextmanager
def _quiet_pipe() -> Iterator[None]:
    """Ends without an error when who reads the output has gone, as ``head`` does."""
    try:
        yield
    except BrokenPipeError:
        # The interpreter flushes standard output at its end, which would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
