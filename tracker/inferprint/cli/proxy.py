"""``inferprint proxy``: a footprint in every reply of a server that stays as it is."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from inferprint.cli import OK, Subparsers
from inferprint.cli.arguments import DAY_S, between
from inferprint.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from inferprint._runtime import Tracker

PORT = 9466
MOST_BODY_MIB = 1024
MEBIBYTE = 1 << 20
CLIENT_TIMEOUT_S = 30
PAGE_PATH = "/inferprint"


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``proxy``."""
    parser = subparsers.add_parser(
        "proxy", help="put the footprint into each reply of an OpenAI-compatible server"
    )
    parser.add_argument("--upstream", required=True, metavar="URL", help="the server's address")
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"0 for any free one (default: {PORT})"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=HEADER",
        help="put a request's header on its receipt, as often as wanted",
    )
    parser.add_argument(
        "--hash-label",
        action="append",
        default=[],
        metavar="NAME",
        help="keep only a keyed hash of this label",
    )
    parser.add_argument(
        "--max-body-mib",
        type=int,
        default=MOST_BODY_MIB,
        metavar="N",
        help=f"refuse larger bodies of requests (default: {MOST_BODY_MIB})",
    )
    parser.add_argument(
        "--client-timeout",
        type=between(float, 0.1, DAY_S),
        default=CLIENT_TIMEOUT_S,
        metavar="N",
        help="seconds that a client may take to send the head of a request, and be silent in its "
        f"body (default: {CLIENT_TIMEOUT_S})",
    )
    parser.add_argument(
        "--page",
        nargs="?",
        const=PAGE_PATH,
        metavar="PATH",
        help=f"serve the live page too, at this path (default: {PAGE_PATH})",
    )
    parser.add_argument(
        "--no-usage", action="store_true", help="do not ask for the usage of streams"
    )
    parser.add_argument(
        "--no-body", action="store_true", help="the footprint in headers and comments alone"
    )
    parser.add_argument(
        "--pid",
        type=int,
        metavar="N",
        help="the server's process, whose CPU time is its requests' "
        "(default: the one that listens at the upstream, if it is on this machine)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def run(args: argparse.Namespace) -> int:
    """Serves until it is stopped.

    Raises:
        MissingExtra: what it needs is not installed.
        ConfigError: an option or a setting can't be used.
    """
    try:
        from inferprint.proxy.options import Options
        from inferprint.proxy.page import load_page
        from inferprint.proxy.server import listen, serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("inferprint"):
            raise
        raise MissingExtra("inferprint proxy", "proxy") from None

    if args.max_body_mib < 1:
        raise ConfigError("max_body_mib", args.max_body_mib, "a whole number above 0")
    options = Options(
        upstream=args.upstream,
        labels=dict(map(_label, args.label)),
        hashed_labels=tuple(args.hash_label),
        most_body_bytes=args.max_body_mib * MEBIBYTE,
        client_timeout_s=args.client_timeout,
        asks_usage=not args.no_usage,
        in_bodies=not args.no_body,
    )
    sock = listen(args.host, args.port)
    with sock, _tracker(args.upstream, args.pid) as tracker:
        page = None if args.page is None else load_page(args.page, args.host, tracker)
        url = _url(*sock.getsockname()[:2])
        serve(options, tracker, sock, lambda: _tell(url, args), page)
    return OK


def _tracker(upstream: str, pid: int | None) -> Tracker:
    """A tracker for which the server's CPU time is that of the requests.

    Raises:
        ConfigError: there is no process of this number.
    """
    from inferprint import Config, Tracker
    from inferprint.proxy.beside import server_processes
    from inferprint.proxy.upstream import base_of
    from inferprint.sources.detect import detect
    from inferprint.sources.server_usage import ServerTimes

    config, find = Config(), server_processes(base_of(upstream), pid)
    if find is None or config.agent is not None:  # the agent reads the devices, for all
        return Tracker(config)
    found = detect(config, times=ServerTimes(find))
    tracker = Tracker(config, sources=found.sources)
    tracker.findings = found.findings
    return tracker


def _label(text: str) -> tuple[str, str]:
    name, equals, header = text.partition("=")
    if not equals:
        raise ConfigError("label", text, "NAME=HEADER, such as tenant=x-tenant")
    return name, header


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _tell(url: str, args: argparse.Namespace) -> None:
    page = None if args.page is None else f"{url}{args.page}/"
    if args.json:
        told = {"listening": url, "upstream": args.upstream} | ({"page": page} if page else {})
        print(json.dumps(told), flush=True)
        return
    print(f"{url} sends on to {args.upstream}; clients use {url}/v1", flush=True)
    if page is not None:
        print(f"The page: {page}", flush=True)
