"""Frames on the agent's socket: four bytes of length, big-endian, then one value in msgpack.

Pure: bytes in, values out. What is no frame raises ``BadFrame``; nothing else does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from inferprint.errors import InferprintError, MissingExtra

try:
    import msgpack
except ImportError as error:  # pragma: no cover - tested in an interpreter without it
    raise MissingExtra("inferprint agent, or Config(agent=...),", "agent") from error

__all__ = ["MOST_BYTES", "BadFrame", "FrameReader", "frame"]

MOST_BYTES: Final = 1 << 20
"""The largest value of one frame; what is larger is sent in several."""

_LENGTH = struct.Struct(">I")


class BadFrame(InferprintError):
    """What came is no frame: too long, or not a value in msgpack."""


def frame(message: object) -> bytes:
    """The frame of a message.

    Raises:
        BadFrame: it is larger than a frame may be, or holds what msgpack has no form for.
    """
    try:
        payload: Any = msgpack.packb(message)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadFrame(f"a message that can't be packed: {error}") from error
    if len(payload) > MOST_BYTES:
        raise BadFrame(f"a message of {len(payload)} bytes: expected at most {MOST_BYTES}")
    return _LENGTH.pack(len(payload)) + bytes(payload)


class FrameReader:
    """Cuts a stream of bytes into the messages that it holds."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def held(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._bytes)

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that are complete with these bytes; to be iterated to its end.

        Raises:
            BadFrame: there is something else than a frame; what follows can't be read either.
        """
        held = self._bytes
        held += data
        at = 0
        try:
            while len(held) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(held, at)
                if length > MOST_BYTES:
                    raise BadFrame(f"a frame of {length} bytes: expected at most {MOST_BYTES}")
                end = at + _LENGTH.size + length
                if len(held) < end:
                    break
                payload = bytes(memoryview(held)[at + _LENGTH.size : end])
                at = end
                yield _unpacked(payload)
        finally:
            del held[:at]


def _unpacked(payload: bytes) -> Any:
    try:
        return msgpack.unpackb(payload, raw=False, strict_map_key=True)
    # Also what its parser raises for nesting, for bad UTF-8 and for what is left over.
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadFrame(f"not a value in msgpack: {error}") from error
    except msgpack.UnpackException as error:
        raise BadFrame(f"not a value in msgpack: {error}") from error
