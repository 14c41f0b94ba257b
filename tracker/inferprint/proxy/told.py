"""What an upstream's reply tells of its tokens. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferprint.errors import TokenError
from inferprint.records import Tokens
from inferprint.tokens import read_tokens

__all__ = ["MEMBERS", "pieces_in", "tokens_of"]

MEMBERS = frozenset({"error", "usage", "timings"})
"""What a reply is scanned for."""

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")


def tokens_of(reply: Mapping[str, Any]) -> Tokens | None:
    """The counts in a reply's usage, or in its timings; None: there are none.

    Raises:
        TokenError: there are some that can't be read.
    """
    for name in ("usage", "timings"):
        told = reply.get(name)
        if not isinstance(told, Mapping) or not told:
            continue
        try:
            found = read_tokens(told)
        except TokenError:
            if name == "usage":
                raise
            continue
        if found is not None:
            return found
    return None


def pieces_in(chunk: Mapping[str, Any]) -> int:
    """How many pieces of output a stream's chunk has: of most servers each is one token."""
    if isinstance(kind := chunk.get("type"), str):
        return int(kind.endswith(".delta") and bool(chunk.get("delta")))
    choices = chunk.get("choices")
    return sum(map(_has_output, choices)) if isinstance(choices, list) else 0


def _has_output(choice: Any) -> bool:
    if not isinstance(choice, Mapping):
        return False
    delta = choice.get("delta")
    if isinstance(delta, Mapping):
        return any(delta.get(name) for name in _TEXTS)
    return bool(choice.get("text"))
