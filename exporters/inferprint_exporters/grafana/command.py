"""``inferprint dashboards``: Grafana's dashboards, Prometheus's rules, in a folder of yours."""

from __future__ import annotations

import argparse
import re
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from inferprint.errors import ConfigError

if TYPE_CHECKING:
    from inferprint.cli import Subparsers

__all__ = ["add_parser", "run"]

FOLDERS = ("dashboards", "rules", "provisioning")
PARTS = "energy_kwh, carbon_kg, or the code of a currency such as EUR"
HEAD = """# Limits of the trailing 30 days, over all hosts, by inferprint dashboards --budget.
groups:
  - name: inferprint-budget-limits
    interval: 1m
    rules:
"""
RULE = """      - record: inferprint:budget:limit
        expr: vector({limit!r})
        labels:
          part: {part}
"""


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``dashboards``."""
    parser = subparsers.add_parser(
        "dashboards", help="write Grafana dashboards and Prometheus rules into a folder"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="the folder; made if need be"
    )
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        type=_budget,
        metavar="PART=LIMIT",
        help="a limit of 30 days, for the alert on it: energy_kwh=500, carbon_kg=120, EUR=300",
    )


def run(args: argparse.Namespace) -> int:
    """Writes the files and prints their paths; those that are there are replaced.

    Returns:
        0.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    output = Path(args.output)
    try:
        written = [path for name in FOLDERS for path in _copy(name, output)]
        if args.budget:
            written.append(_limits(dict(args.budget), output))
    except OSError as error:
        expected = f"a folder that this user can write to ({error})"
        raise ConfigError("--output", args.output, expected, "Choose another folder.") from None
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


def _copy(name: str, output: Path) -> list[Path]:
    folder = output / name
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    shipped = resources.files("inferprint_exporters.grafana") / name
    for file in sorted(shipped.iterdir(), key=lambda file: file.name):
        path = folder / file.name
        path.write_bytes(file.read_bytes())
        found.append(path)
    return found


def _limits(limits: dict[str, float], output: Path) -> Path:
    path = output / "rules" / "inferprint-budget.rules.yml"
    rules = [RULE.format(part=part, limit=limit) for part, limit in limits.items()]
    path.write_text(HEAD + "".join(rules), "utf-8")
    return path


def _budget(text: str) -> tuple[str, float]:
    part, _, number = text.partition("=")
    known = re.fullmatch(r"energy_kwh|carbon_kg|[A-Z]{3}", part)
    try:
        limit = float(number)
    except ValueError:
        limit = 0.0
    if not known or not 0 < limit < float("inf"):
        expected = f"PART=LIMIT, PART one of {PARTS}, LIMIT a number above 0"
        raise argparse.ArgumentTypeError(f"{text!r}: expected {expected}")
    return part, limit
