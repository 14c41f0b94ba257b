"""What an operator sets of the proxy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = ["Options"]

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an operator sets.

    Args:
        upstream: the address of the server behind; a ``/v1`` at its end is left out.
        labels: the header that each label is read from, by the label's name.
        hashed_labels: those of which only a keyed hash is kept.
        most_body_bytes: of a request's body; a larger one is refused.
        client_timeout_s: seconds within which a client has to send the head of a request, and
            for which it may be silent before it has sent the body.
        asks_usage: whether streams are asked for their usage where the client did not.
        in_bodies: whether the footprint is put into replies, and not in headers and comments
            alone.
    """

    upstream: str
    labels: Mapping[str, str] = field(default_factory=dict)
    hashed_labels: Collection[str] = ()
    most_body_bytes: int = 1024 * MEBIBYTE
    client_timeout_s: float = 30.0
    asks_usage: bool = True
    in_bodies: bool = True
