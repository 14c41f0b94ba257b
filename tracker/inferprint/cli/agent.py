"""``inferprint agent``: one process that measures for all of a host."""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from inferprint.cli import OK, Subparsers
from inferprint.errors import ConfigError

if TYPE_CHECKING:
    from inferprint.delivery import Exporter

# Each worker takes a file descriptor.
MOST_FILES = 65_536


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``agent``."""
    parser = subparsers.add_parser(
        "agent", help="measure for all processes of this host, which tell it of their requests"
    )
    parser.add_argument(
        "--socket", metavar="PATH", help="where workers connect (default: INFERPRINT_AGENT)"
    )
    parser.add_argument(
        "--group", metavar="NAME", help="the group that may connect (default: this process's)"
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        metavar="N",
        help="serve /metrics for Prometheus here, 0 for any free port (default: not)",
    )
    parser.add_argument(
        "--store",
        action="append",
        default=[],
        metavar="URL",
        help="keep receipts in this database, as often as wanted",
    )
    parser.add_argument(
        "--beside", action="store_true", help="run beside another agent of this host"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def run(args: argparse.Namespace) -> int:
    """Serves until it is stopped.

    Raises:
        ConfigError: an option or a setting can't be used, or the path is taken.
        MissingExtra: what it needs is not installed.
        InferprintError: another agent runs on this host.
    """
    from inferprint import Config
    from inferprint.agent.server import Agent

    # From here on, so that a signal that comes early ends it as well.
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    config = Config()
    path = args.socket or config.agent
    if path is None:
        expected = "the path of a socket, by --socket or INFERPRINT_AGENT"
        raise ConfigError(
            "socket", None, expected, "inferprint agent --socket /run/inferprint.sock"
        )
    _allow_many_files()
    agent = Agent(
        config,
        socket=path,
        exporters=_exporters(config, args),
        group=args.group,
        beside=args.beside,
    )
    with agent:
        _tell(agent.socket, _metrics_url(agent), args.json)
        signal.sigwait(signals)
    return OK


def _exporters(config: object, args: argparse.Namespace) -> list[Exporter]:
    """Those that the options name; those of the settings come by themselves."""
    from inferprint import Config
    from inferprint.delivery import load_exporters

    assert isinstance(config, Config)
    found: list[Exporter] = []
    if args.metrics_port is not None:
        served = replace(config, prometheus_port=args.metrics_port, exporters=("prometheus",))
        found += load_exporters(served)
    for url in args.store:
        found += load_exporters(replace(config, store_url=url, exporters=("store",)))
    return found


def _metrics_url(agent: object) -> str | None:
    from inferprint.agent.server import Agent

    assert isinstance(agent, Agent)
    for box in agent.tracker._engine.outboxes:
        port = getattr(box.exporter, "port", None)
        if box.exporter.name == "prometheus" and port is not None:
            return f"http://{agent.tracker.config.prometheus_host}:{port}/metrics"
    return None


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tell(path: str, metrics: str | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"listening": path, "metrics": metrics, "pid": os.getpid()}), flush=True)
        return
    served = f", with metrics at {metrics}" if metrics else ""
    print(f"listening at {path}{served}; workers use Config(agent={path!r})", flush=True)
