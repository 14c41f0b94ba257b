"""The latest values on disk, so that a restart has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from inferprint.impacts import Factor
from inferprint.intensity.series import Slot
from inferprint.intensity.tables import valued
from inferprint.saved import write

__all__ = ["Cached", "load", "save"]

FORMAT = "inferprint-intensity"
VERSION = 1


class Cached(NamedTuple):
    """What a file holds.

    Args:
        fetched_s: when the values were fetched, Unix time.
        slots: they.
    """

    fetched_s: float
    slots: Sequence[Slot]


def save(path: Path, name: str, cached: Cached) -> None:
    """Writes a file, whole or not at all.

    Args:
        path: where; its folder is made where there is none.
        name: of the source.
        cached: what it is to hold.

    Raises:
        OSError: it can't be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [[slot.start_s, slot.end_s, asdict(slot.factor)] for slot in cached.slots]
    plain = {"format": FORMAT, "version": VERSION, "source": name, "fetched_s": cached.fetched_s}
    write(str(path), {**plain, "slots": rows})


def load(path: Path, name: str) -> Cached | None:
    """What a file holds; None where there is none.

    Args:
        path: the file.
        name: of the source.

    Raises:
        OSError: it can't be read.
        ValueError: it is none of these, or of another source.
    """
    try:
        plain = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    try:
        if (plain["format"], plain["version"], plain["source"]) != (FORMAT, VERSION, name):
            raise ValueError(f"it is not of {name}")
        return Cached(float(plain["fetched_s"]), [_slot(*row) for row in plain["slots"]])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _slot(start_s: float, end_s: float, factor: dict[str, Any]) -> Slot:
    one = Factor(**factor)
    return Slot(float(start_s), float(end_s), valued(one, one.value, one.low, one.high))
