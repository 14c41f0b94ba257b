"""Puts the footprint into a JSON reply: one that is at hand whole, or one that goes by. Pure."""

from __future__ import annotations

from inferprint.errors import TokenError
from inferprint.proxy.insert import Footprint, into_object
from inferprint.proxy.scan import Member, Scan
from inferprint.proxy.told import MEMBERS, tokens_of
from inferprint.records import Tokens

__all__ = ["Plain"]


class Plain:
    """One JSON reply. Its bytes stay as they are, and its usage gets one more member."""

    def __init__(self) -> None:
        self._scan = Scan(MEMBERS)
        self._began = self._seen = 0
        self._said = False
        self.unreadable: TokenError | None = None

    def read(self, data: bytes) -> None:
        """Takes the next bytes, or all of them."""
        self._began, self._seen = self._seen, self._seen + len(data)
        self._scan.feed(data)

    @property
    def can_be_told(self) -> bool:
        """Whether the footprint can be put into the bytes that were read last."""
        usage = self._scan.members.get("usage")
        if usage is None or self._said or usage.end <= self._began or not self._scan.sound:
            return False
        return isinstance(usage.parsed(), dict)

    def with_footprint(self, data: bytes, footprint: Footprint) -> bytes:
        """The bytes that were read last, with the footprint; the same where it has no place."""
        if not self.can_be_told or (self._began == 0 and not self._scan.whole):
            return data
        self._said = True
        usage, began = self._scan.members["usage"], self._began
        return into_object(
            data, Member(usage.value, usage.start - began, usage.end - began), footprint
        )

    @property
    def whole(self) -> bool:
        """Whether what was read is one JSON object, from its beginning to its end."""
        return self._scan.whole

    @property
    def failed(self) -> bool:
        """Whether it tells of an error."""
        error = self._scan.members.get("error")
        return error is not None and bool(error.parsed())

    @property
    def tokens(self) -> Tokens | None:
        """The counts that the upstream told so far."""
        found = {name: member.parsed() for name, member in self._scan.members.items()}
        try:
            return tokens_of(found)
        except TokenError as error:
            self.unreadable = error
            return None
