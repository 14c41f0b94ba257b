"""What a client asks for, read from its request's body. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inferprint.proxy.scan import Scan

__all__ = ["MEMBERS", "Asked", "Expected", "asked_of", "expected_of", "with_usage"]

MEMBERS = frozenset({"model", "stream", "stream_options"})
"""What a body is scanned for."""

CHARACTERS_PER_TOKEN = 4
"""Of English text, about. Source: OpenAI, "What are tokens and how to count them?", 2024."""

MOST_OUTPUT_TOKENS = 1_000_000
"""Stands for no limit where a request names none: the usual length is what is expected."""

MOST_MODEL_CHARACTERS = 256
_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_TEXTS = ("messages", "prompt", "input", "instructions", "system", "tools")
_UNREAD = frozenset({"image_url", "input_audio", "file", "file_data", "data"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What matters of a request.

    Args:
        model: the model's name; empty where the body names none.
        streams: whether it asks for a stream.
        wants_usage: whether it asks for the usage of a stream.
    """

    model: str = ""
    streams: bool = False
    wants_usage: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """Tokens that a request will have, as far as its body tells.

    Args:
        input_tokens: of the prompt, by the length of its text.
        max_output_tokens: at most.
    """

    input_tokens: int
    max_output_tokens: int


def asked_of(scan: Scan) -> Asked:
    """What was found in a body."""
    found = {name: member.parsed() for name, member in scan.members.items()}
    model, options = found.get("model"), found.get("stream_options")
    wants_usage = isinstance(options, dict) and options.get("include_usage") is True
    name = model[:MOST_MODEL_CHARACTERS] if isinstance(model, str) else ""
    return Asked(name, found.get("stream") is True, wants_usage)


def with_usage(body: bytes, scan: Scan) -> bytes:
    """The same body, asking for the usage of its stream; all other bytes stay."""
    options = scan.members.get("stream_options")
    if options is None:
        assert scan.closed_at is not None
        wish = b',"stream_options":{"include_usage":true}'
        return body[: scan.closed_at] + wish + body[scan.closed_at :]
    given = options.parsed()
    asked = {**(given if isinstance(given, dict) else {}), "include_usage": True}
    return body[: options.start] + json.dumps(asked).encode() + body[options.end :]


def expected_of(body: bytes) -> Expected | None:
    """The tokens that a request will have; None: its body is no JSON object."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    characters = sum(len(text) for name in _TEXTS for text in _texts(document.get(name)))
    limits = [count for name in _LIMITS if (count := _count(document.get(name)))]
    most = min(limits, default=MOST_OUTPUT_TOKENS) * (_count(document.get("n")) or 1)
    return Expected(-(-characters // CHARACTERS_PER_TOKEN), most)


def _count(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def _texts(value: Any) -> Iterator[str]:
    """Every text in it; pictures and sounds are none."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, Mapping):
            waiting += [part for name, part in one.items() if name not in _UNREAD]
