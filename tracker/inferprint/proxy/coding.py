"""Gzip, so that a footprint can be put into a reply that is compressed. Pure."""

from __future__ import annotations

import zlib

__all__ = ["GZIP", "Gzip", "packed", "unpacked"]

GZIP = b"gzip"
_WITH_HEADER = 16 + zlib.MAX_WBITS


class Gzip:
    """Unpacks a stream as it comes, and packs one so that each part can be read at once."""

    def __init__(self) -> None:
        self._unpack = zlib.decompressobj(_WITH_HEADER)
        self._pack = zlib.compressobj(wbits=_WITH_HEADER)

    def unpack(self, data: bytes) -> bytes:
        """The bytes that these stand for, after those before.

        Raises:
            zlib.error: it is no gzip.
        """
        return self._unpack.decompress(data)

    def pack(self, data: bytes) -> bytes:
        """Compressed, up to the last byte."""
        return self._pack.compress(data) + self._pack.flush(zlib.Z_SYNC_FLUSH) if data else b""

    def finish(self) -> bytes:
        """What ends the compressed stream."""
        return self._pack.flush()


def packed(data: bytes) -> bytes:
    """The bytes compressed."""
    gzip = zlib.compressobj(wbits=_WITH_HEADER)
    return gzip.compress(data) + gzip.flush()


def unpacked(data: bytes, most: int) -> bytes | None:
    """The bytes that these stand for; None: it is no whole gzip, or more than ``most``."""
    gzip = zlib.decompressobj(_WITH_HEADER)
    try:
        found = gzip.decompress(data, most)
    except zlib.error:
        return None
    return found if gzip.eof else None
