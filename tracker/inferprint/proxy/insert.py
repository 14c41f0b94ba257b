"""Puts a footprint into JSON and into streams; all other bytes stay. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from inferprint.proxy.scan import Member

__all__ = ["comment", "into_object", "last_chunk"]

Footprint = Mapping[str, Any]

_KEPT = ("id", "object", "created", "model", "system_fingerprint")
"""What a stream's last chunk has from the chunks before it."""


def text(value: object) -> bytes:
    """One JSON value in one line, in ASCII."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def into_object(document: bytes, member: Member, footprint: Footprint) -> bytes:
    """A document with the footprint as the last member of one of its objects.

    Args:
        document: the whole or a part of it.
        member: the object; its end lies in the document.
        footprint: what is put in.
    """
    brace = member.end - 1
    comma = b"," if member.parsed() else b""
    return document[:brace] + comma + b'"footprint":' + text(footprint) + document[brace:]


def last_chunk(chunk: Mapping[str, Any], usage: Mapping[str, Any], footprint: Footprint) -> bytes:
    """An event of no choices that carries a footprint.

    Args:
        chunk: one of the same stream.
        usage: what the upstream told; may be empty.
        footprint: what it carries.
    """
    kept = {name: chunk[name] for name in _KEPT if name in chunk}
    counts = {**usage, "footprint": footprint}
    return b"data: " + text({**kept, "choices": [], "usage": counts}) + b"\n\n"


def comment(footprint: Footprint) -> bytes:
    """The energy as a comment in a stream, in the shape that other providers' clients read."""
    told = {
        "energy_joules": footprint["energy_joules"],
        "attribution_method": footprint["attribution_method"],
        "attribution_ratio": None,
    }
    return b": energy " + text(told) + b"\n\n"
