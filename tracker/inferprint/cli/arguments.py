"""Options that several commands take, and how an option's number is read."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

__all__ = ["DAY_S", "add_clients", "between"]

DAY_S = 86_400
MOST_CLIENTS = 1000


def between(convert: type[int] | type[float], low: float, high: float) -> Callable[[str], float]:
    """A parser of an option's number, for argparse."""

    def parse(text: str) -> float:
        try:
            value = convert(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            kind = "a whole number" if convert is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r}: expected {kind} from {low} to {high}")
        return value

    return parse


def add_clients(parser: argparse.ArgumentParser, when: str = "") -> None:
    """Adds ``--clients``, of a command that has a model served under load.

    Args:
        parser: the command's.
        when: said before the rest of its help.
    """
    parser.add_argument(
        "--clients",
        type=between(int, 1, MOST_CLIENTS),
        default=4,
        metavar="C",
        help=f"{when}how many clients ask at once (default: 4)",
    )
