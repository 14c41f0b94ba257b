"""``inferprint factors``: every number that joules and hours are turned into others with."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from inferprint._config import Config
from inferprint.cli import FAILED, OK, Subparsers

if TYPE_CHECKING:
    from inferprint.impacts import Factor


def add_parser(subparsers: Subparsers) -> None:
    """Adds ``factors``."""
    parser = subparsers.add_parser("factors", help="the numbers in use, each with its source")
    parser.add_argument("--all", action="store_true", help="all that there are, not those in use")
    parser.add_argument("--name", help="of this name alone, such as pue")
    parser.add_argument("--location", help="as if the setting location were this")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints the factors that the settings give, or all that the tables have.

    Returns:
        0; 1 when there is none.

    Raises:
        ConfigError: a setting or a file of factors is not usable.
    """
    config = Config() if args.location is None else replace(Config(), location=args.location)
    found = [one for one in _factors(config, args.all) if args.name in (None, one.name)]
    if args.json:
        print(json.dumps({"factors": [asdict(factor) for factor in found]}, ensure_ascii=False))
    else:
        for factor in found:
            print(_line(factor))
        if not found:
            print("None: set INFERPRINT_LOCATION, or see all with --all.")
    return OK if found else FAILED


def _factors(config: Config, everything: bool) -> tuple[Factor, ...]:
    if everything:
        from inferprint.factor_tables import shipped

        return shipped(config.factors_path).all()
    from inferprint.factors import resolve

    return resolve(config).as_tuple()


def _line(factor: Factor) -> str:
    """One factor, for people."""
    words = [factor.name, factor.region, f"{factor.value:g} {factor.unit}"]
    if factor.low is not None:
        words.append(f"({factor.low:g} to {factor.high:g})")
    if factor.basis:
        words.append(factor.basis)
    if factor.year is not None:
        words.append(str(factor.year))
    return " | ".join([" ".join(word for word in words if word), factor.source])
