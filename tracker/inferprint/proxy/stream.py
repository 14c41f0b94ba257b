"""Follows a streamed reply, counts its tokens, and puts the footprint before its end. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from inferprint.errors import TokenError
from inferprint.proxy.insert import Footprint, comment, into_object, last_chunk
from inferprint.proxy.scan import Member, Scan
from inferprint.proxy.sse import Events, Payload, payload_of
from inferprint.proxy.told import pieces_in, tokens_of
from inferprint.records import Tokens

__all__ = ["Stream"]

DONE = b"[DONE]"
_OBJECTS = ("response", "usage")
_NOTHING: Mapping[str, Any] = {}


class Stream:
    """One streamed reply. What goes in comes out, plus the footprint; a usage that the client
    did not ask for comes out with it, or not at all where there is no footprint.

    Args:
        keeps_usage: whether the client asked for the usage.
        footprint: gives the footprint so far, once all tokens are told; None: it can't be had.
        in_bodies: whether it is put into the events, and not in a comment alone.
    """

    def __init__(
        self,
        keeps_usage: bool,
        footprint: Callable[[], Footprint | None],
        in_bodies: bool = True,
    ) -> None:
        self._keeps_usage = keeps_usage
        self._footprint = footprint
        self._in_bodies = in_bodies
        self._events = Events()
        self._chunk = _NOTHING
        self._usage = _NOTHING
        self._said = False
        self.pieces = 0
        """Pieces of output so far."""
        self.tokens: Tokens | None = None
        """The counts that the upstream told."""
        self.unreadable: TokenError | None = None
        self.failed = False
        """Whether the upstream told of an error."""
        self.ended = False
        """Whether the stream told that it is at its end."""

    def feed(self, data: bytes) -> bytes:
        """Takes the next bytes; gives those that go on to the client."""
        pieces = self._events.feed(data)
        return b"".join(self._event(data) if whole else data for data, whole in pieces)

    def end(self) -> bytes:
        """What is left when the upstream has come to its end."""
        rest = self._event(self._events.rest())
        # An event that was cut short may not be joined to what comes after it.
        if self._said or self.ended or rest.strip(b"\r\n"):
            return rest
        return rest + b"".join(self._last())

    def rest(self) -> bytes:
        """What is left when the upstream broke off."""
        return self._events.rest()

    def _event(self, event: bytes) -> bytes:
        payload = payload_of(event)
        if payload is None:
            return event
        if payload.data == DONE:
            self.ended = True
            added = b"" if self._said else b"".join(self._last())
            return added + event
        chunk = _chunk_of(payload)
        return event if chunk is None else self._one(event, payload, chunk)

    def _one(self, event: bytes, payload: Payload, chunk: Mapping[str, Any]) -> bytes:
        self.failed = self.failed or bool(chunk.get("error")) or chunk.get("type") == "error"
        response = chunk.get("response")
        if isinstance(response, Mapping):
            return self._of_responses(event, payload, response)
        self._read(chunk)
        pieces = pieces_in(chunk)
        self.pieces += pieces
        if pieces or (not self._chunk and isinstance(chunk.get("choices"), list)):
            self._chunk = chunk
        usage = chunk.get("usage")
        if chunk.get("choices") != [] or not isinstance(usage, Mapping):
            return event
        self._usage = usage
        if not self._keeps_usage:
            return b""
        return self._with_footprint(event, payload, ("usage",))

    def _of_responses(self, event: bytes, payload: Payload, response: Mapping[str, Any]) -> bytes:
        """An event of the Responses API: the last one has the whole response in it."""
        self.failed = self.failed or bool(response.get("error"))
        if not isinstance(response.get("usage"), Mapping):
            return event
        self.ended = True
        self._read(response)
        return self._with_footprint(event, payload, _OBJECTS)

    def _read(self, holder: Mapping[str, Any]) -> None:
        try:
            self.tokens = tokens_of(holder) or self.tokens
        except TokenError as error:
            self.unreadable = error

    def _with_footprint(self, event: bytes, payload: Payload, path: tuple[str, ...]) -> bytes:
        member = _find(payload, path)
        footprint = None if self._said or member is None else self._footprint()
        if footprint is None or member is None:
            return event
        self._said = True
        told = into_object(event, member, footprint) if self._in_bodies else event
        return told + comment(footprint)

    def _last(self) -> Iterator[bytes]:
        """The events that carry the footprint; only where this is a stream that can."""
        footprint = self._footprint() if self._chunk else None
        if footprint is None:
            return
        self._said = True
        if self._in_bodies and "choices" in self._chunk and not self.failed:
            yield last_chunk(self._chunk, self._usage, footprint)
        yield comment(footprint)


def _chunk_of(payload: Payload) -> Mapping[str, Any] | None:
    try:
        found = json.loads(payload.data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _find(payload: Payload, path: tuple[str, ...]) -> Member | None:
    """Where in an event an object of its data is; None: it can't be told."""
    data, at = payload
    if at < 0:
        return None
    member = None
    for name in path:
        scan = Scan({name}, most_held=len(data))
        scan.feed(data)
        member = scan.members.get(name)
        if member is None:
            return None
        data, at = member.value, at + member.start
    assert member is not None
    return Member(member.value, at, at + len(member.value))
