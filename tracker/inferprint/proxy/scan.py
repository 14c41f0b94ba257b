"""Finds the members of a JSON document's outermost object while its bytes go by.

It holds back nothing and parses nothing else, so that a body of any size passes through, and
what is edited is edited in place: the other bytes stay what they were. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any, NamedTuple

MOST_HELD = 65_536

# Possessive, so that a text which does not end in the bytes at hand is looked at once.
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_OUTER = re.compile(_TEXT + rb'|["{}\[\],:]', re.DOTALL)
_INNER = re.compile(_TEXT + rb'|["{}\[\]]', re.DOTALL)
_REST_OF_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_QUOTE, _COLON, _COMMA = b'":,'
_OPENING = frozenset(b"{[")


class Member(NamedTuple):
    """A member's value: its bytes, and where in the document it begins and ends."""

    value: bytes
    start: int
    end: int

    def parsed(self) -> Any:
        """What it is in Python, not to be changed; None where it is no JSON."""
        return _parsed(self.value)


@lru_cache(maxsize=32)
def _parsed(value: bytes) -> Any:
    """Asked for several times of one member, and most models' names are those of the last ones."""
    try:
        return json.loads(value)
    except ValueError:
        return None


class Scan:
    """Reads one document.

    Args:
        wanted: the names of the members to find; of equal names the last counts.
        most_held: bytes of a name or a value that are kept; one that is longer is not found.
    """

    def __init__(self, wanted: Collection[str], most_held: int = MOST_HELD) -> None:
        self._wanted = wanted
        self._most_held = most_held
        self.members: dict[str, Member] = {}
        self.closed_at: int | None = None
        """Where the object's closing brace is, once it is seen."""
        self.sound = True
        """Whether what was seen so far can be one object and nothing else."""
        self._seen = 0
        self._depth = 0
        self._in_text = self._escaped = False
        # The name of the member whose value is being read, and whether a name is expected.
        self._name: str | None = None
        self._at_name = False
        # What is being kept: its beginning in the document, and in the bytes at hand.
        self._held: bytearray | None = None
        self._start = 0
        self._from = 0

    @property
    def whole(self) -> bool:
        """Whether the document was one object, from its beginning to its end."""
        return self.sound and self.closed_at is not None

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the document."""
        self._from = at = 0
        if self._in_text:
            at = self._end_text(data)
        while at < len(data) and self.sound and not self._in_text:
            found = (_OUTER if self._depth == 1 else _INNER).search(data, at)
            start, end = (len(data), len(data)) if found is None else found.span()
            if self._depth == 0 and data[at:start].strip(b" \t\r\n"):
                self.sound = False
                break
            at = end
            if found is not None:
                self._step(data, start, end)
        if self._held is not None:
            self._keep(data, len(data))
        self._seen += len(data)

    def _end_text(self, data: bytes) -> int:
        """Where a text ends that began in earlier bytes."""
        found = _REST_OF_TEXT.match(data, int(self._escaped))
        at = len(data) if found is None else found.end()
        self._escaped = data[at : at + 1] == b"\\"
        if at >= len(data) or self._escaped:
            return len(data)
        self._in_text = False
        if self._depth == 1 and self._at_name:
            self._keep_name(data, at + 1)
        return at + 1

    def _step(self, data: bytes, start: int, end: int) -> None:
        sign = data[start]
        if sign == _QUOTE:
            self.sound = self._depth > 0
            self._text(data, start, end)
        elif sign == _COLON:
            if self._name in self._wanted:
                self._hold(end)
        elif sign == _COMMA:
            self._take_value(data, start)
            self._at_name = True
        elif sign in _OPENING:
            self._open(sign)
        else:
            self._close(data, start)

    def _text(self, data: bytes, start: int, end: int) -> None:
        is_name = self._at_name and self._depth == 1
        if end - start > 1:
            if is_name:
                self._take_name(data[start:end])
            return
        # It goes on in the next bytes; a backslash at the end may escape their first.
        self._in_text = True
        found = _REST_OF_TEXT.match(data, end)
        self._escaped = found is not None and data[found.end() :] == b"\\"
        if is_name:
            self._hold(start)

    def _open(self, sign: int) -> None:
        self.sound = self._depth > 0 or (sign == ord("{") and self.closed_at is None)
        self._at_name = self._depth == 0
        self._depth += 1

    def _close(self, data: bytes, at: int) -> None:
        self._depth -= 1
        if self._depth == 1:
            self._take_value(data, at + 1)
        elif self._depth == 0:
            self._take_value(data, at)
            self.closed_at = self._seen + at
        elif self._depth < 0:
            self.sound = False

    def _hold(self, at: int) -> None:
        self._held, self._start, self._from = bytearray(), self._seen + at, at

    def _keep(self, data: bytes, end: int) -> None:
        assert self._held is not None
        self._held += data[self._from : min(end, self._from + self._most_held + 1)]
        if len(self._held) > self._most_held:
            self._held = self._name = None

    def _keep_name(self, data: bytes, end: int) -> None:
        if self._held is not None:
            self._keep(data, end)
        held, self._held = self._held, None
        self._take_name(bytes(held or b""))

    def _take_name(self, name: bytes) -> None:
        self._at_name = False
        if b"\\" in name:
            parsed = Member(name, 0, 0).parsed()
            self._name = parsed if isinstance(parsed, str) else None
        else:
            self._name = name[1:-1].decode("utf-8", "replace")

    def _take_value(self, data: bytes, end: int) -> None:
        if self._held is not None and not self._at_name:
            self._keep(data, end)
            if self._held is not None and self._name is not None:
                value = bytes(self._held)
                start = self._start + len(value) - len(value.lstrip())
                value = value.strip()
                self.members[self._name] = Member(value, start, start + len(value))
        self._held = self._name = None
