"""Server-sent events, taken apart without changing a byte. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MOST_HELD = 262_144
"""Bytes of an event that may wait for its end; of a longer one they go on at once, unread."""

# A line ends in any of three ways, and two ends on end are the end of an event.
_END = re.compile(rb"(?>\r\n|\n|\r){2}")
_LINE = re.compile(rb"\r\n|\n|\r|\Z")
_LONGEST_END = 4


class Piece(NamedTuple):
    """Bytes of a stream: a whole event with the blank line that ends it, or a part of one."""

    data: bytes
    whole: bool


class Events:
    """Cuts a stream into events."""

    def __init__(self) -> None:
        self._held = b""
        self._passing = False

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Takes the next bytes; gives the events that they complete."""
        begin = max(0, len(self._held) - _LONGEST_END + 1)
        held, at = self._held + data, 0
        for found in _END.finditer(held, begin):
            if found.end() == len(held) and held.endswith(b"\n\r"):
                break  # the other half of its last line end is still to come
            yield Piece(held[at : found.end()], whole=not self._passing)
            at, self._passing = found.end(), False
        self._held = held[at:]
        if len(self._held) > MOST_HELD or (self._passing and self._held):
            self._passing = True
            # Its last bytes stay: they may be the first of what ends it.
            yield Piece(self._held[: 1 - _LONGEST_END], whole=False)
            self._held = self._held[1 - _LONGEST_END :]

    def rest(self) -> bytes:
        """What is left of an event that has not ended."""
        held, self._held = self._held, b""
        return held


class Payload(NamedTuple):
    """What an event says: its data, and where in its bytes they are; -1: in several places."""

    data: bytes
    at: int


def payload_of(event: bytes) -> Payload | None:
    """The data of an event; None: it has none, such as a comment."""
    lines = [*_lines(event)]
    if len(lines) == 1:
        return lines[0]
    return Payload(b"\n".join(line.data for line in lines), -1) if lines else None


def _lines(event: bytes) -> Iterator[Payload]:
    at = 0
    for found in _LINE.finditer(event):
        line = event[at : found.start()]
        if line.startswith(b"data:"):
            skipped = 6 if line.startswith(b"data: ") else 5
            yield Payload(line[skipped:], at + skipped)
        at = found.end()
