"""Writes samples into a Prometheus fast: remote write, whose messages numpy lays out.

The message is ``prometheus.WriteRequest`` of Prometheus's remote write 1.0, framed by snappy's
block format as one literal: nothing is compressed, which snappy allows.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import httpx
import numpy

__all__ = ["Labels", "write"]

Labels = Mapping[str, str]

# Tag and length of a sample, then the tags of its value (double) and of its time (varint); times
# of this century take six bytes.
_HEAD, _VALUE, _TIME, _SIZE = b"\x12\x10", b"\x09", b"\x10", 18
_SERIES_AT_ONCE = 500


def write(
    client: httpx.Client,
    labels: Sequence[Labels],
    times_ms: numpy.ndarray,
    values: numpy.ndarray,
) -> None:
    """Writes a value of each series at each time; what is NaN is left out.

    Args:
        client: of the server.
        labels: of each series, ``__name__`` among them.
        times_ms: Unix time, ascending.
        values: one row a series, one column a time.
    """
    for first in range(0, len(labels), _SERIES_AT_ONCE):
        last = first + _SERIES_AT_ONCE
        message = b"".join(_series(labels[first:last], times_ms, values[first:last]))
        framed = _varint(len(message)) + b"\xfc" + struct.pack("<I", len(message) - 1) + message
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        answer = client.post("/api/v1/write", content=framed, headers=headers)
        if answer.is_error:
            raise RuntimeError(answer.text)


def _series(
    labels: Sequence[Labels], times_ms: numpy.ndarray, values: numpy.ndarray
) -> list[bytes]:
    laid_out = numpy.empty((*values.shape, _SIZE), numpy.uint8)
    laid_out[:, :, :3] = numpy.frombuffer(_HEAD + _VALUE, numpy.uint8)
    laid_out[:, :, 3:11] = values.astype("<f8")[:, :, None].view(numpy.uint8)
    laid_out[:, :, 11] = ord(_TIME)
    groups = times_ms[:, None] >> numpy.arange(0, 42, 7)
    laid_out[:, :, 12:18] = (groups & 127) | numpy.array([128] * 5 + [0])
    known = ~numpy.isnan(values)
    found = []
    for row, name in enumerate(labels):
        if known[row].any():
            body = _encoded(name) + laid_out[row, known[row]].tobytes()
            found.append(b"\x0a" + _varint(len(body)) + body)
    return found


def _encoded(labels: Labels) -> bytes:
    parts = []
    for name, value in sorted(labels.items()):
        pair = _text(b"\x0a", name) + _text(b"\x12", value)
        parts.append(b"\x0a" + _varint(len(pair)) + pair)
    return b"".join(parts)


def _text(tag: bytes, text: str) -> bytes:
    data = text.encode()
    return tag + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= 128:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])
