"""The thermal design power of a CPU by its name, from the table that codecarbon ships."""

from __future__ import annotations

import csv
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["lookup_tdp_w", "tdp_table"]

# What cpuinfo says and the table does not: marks, clock, generation, core count, graphics.
NOISE = re.compile(
    r"\((r|tm|c)\)|@.*|\bwith\b.*|\b\d+(st|nd|rd|th) gen\b"
    r"|\b(\w+-core|\d+-cores|processor|cpu)\b",
    re.IGNORECASE,
)


def tdp_table() -> Path | None:
    """Where codecarbon keeps its table of CPU names and watts; None if it is not installed.

    The file is found without importing codecarbon, which would load pandas.
    """
    spec = importlib.util.find_spec("codecarbon")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder, "data", "hardware", "cpu_power.csv")
        if path.is_file():
            return path
    return None


def lookup_tdp_w(cpu_name: str, table: Path) -> float | None:
    """Watts of one package of this CPU; None where the table does not have exactly it.

    Args:
        cpu_name: as ``/proc/cpuinfo`` gives it.
        table: a CSV file with the columns ``Name`` and ``TDP`` (watts). It is streamed, and
            nothing of it is kept.

    A name without a digit, such as the ``AMD EPYC`` of some virtual machines, names a family
    and not a CPU, so it never matches.
    """
    words = _words(cpu_name)
    if not any(character.isdigit() for character in " ".join(words)):
        return None
    with table.open(encoding="utf-8", newline="") as file:
        return _first_match(words, csv.DictReader(file))


def _first_match(words: tuple[str, ...], rows: Iterable[dict[str, str]]) -> float | None:
    for row in rows:
        # The cheap look at the last word spares 99 % of the rows the regular expression.
        if words[-1] in row["Name"].lower() and _words(row["Name"]) == words:
            return float(row["TDP"])
    return None


def _words(name: str) -> tuple[str, ...]:
    return tuple(NOISE.sub(" ", name).lower().split())
