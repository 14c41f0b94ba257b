"""A piece of a report for people."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NO_BASIS", "Section"]

NO_BASIS = "basis not named"


class Section(NamedTuple):
    """A heading, sentences, and a table if it has columns."""

    title: str
    notes: list[str]
    columns: tuple[str, ...] = ()
    rows: list[list[str]] = []  # noqa: RUF012 - never changed
