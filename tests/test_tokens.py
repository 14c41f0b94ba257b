"""Token counts, read from what servers and libraries return."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import TokenError, Tokens
from inferprint.tokens import checked, read_tokens

counts = st.integers(0, 10**9)


class Shaped:
    """A tensor, as far as its shape goes."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape


def as_objects(value: Any) -> Any:
    """A nest of dicts as objects with attributes, as client libraries give."""
    if isinstance(value, Mapping):
        return SimpleNamespace(**{name: as_objects(item) for name, item in value.items()})
    return value


# What each API documents its usage to be: name, a reply, the tokens in it.
REPLIES: dict[str, tuple[dict[str, Any], Tokens]] = {
    "openai chat": (
        {
            "choices": [],
            "usage": {
                "prompt_tokens": 20,
                "completion_tokens": 7,
                "total_tokens": 27,
                "prompt_tokens_details": {"cached_tokens": 16, "audio_tokens": 0},
            },
        },
        Tokens(20, 16, 7),
    ),
    "openai chat without details": (
        {"usage": {"prompt_tokens": 20, "completion_tokens": 7, "prompt_tokens_details": None}},
        Tokens(20, None, 7),
    ),
    "openai embeddings": (
        {"data": [], "usage": {"prompt_tokens": 20, "total_tokens": 20}},
        Tokens(20, None, None),
    ),
    "openai responses": (
        {
            "output": [{"type": "message", "content": []}],
            "usage": {
                "input_tokens": 20,
                "input_tokens_details": {"cached_tokens": 16},
                "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 3},
            },
        },
        Tokens(20, 16, 7),
    ),
    "anthropic": (
        {
            "usage": {
                "input_tokens": 4,
                "cache_creation_input_tokens": 10,
                "cache_read_input_tokens": 16,
                "output_tokens": 7,
            }
        },
        Tokens(30, 16, 7),
    ),
    "anthropic without a cache": (
        {
            "usage": {
                "input_tokens": 4,
                "cache_creation_input_tokens": None,
                "cache_read_input_tokens": None,
                "output_tokens": 7,
            }
        },
        Tokens(4, None, 7),
    ),
    "ollama": (
        {"done": True, "prompt_eval_count": 20, "eval_count": 7},
        Tokens(20, None, 7),
    ),
    "ollama whose prompt was cached": ({"done": True, "eval_count": 7}, Tokens(None, None, 7)),
    "llama.cpp": (
        {"content": "x", "timings": {"cache_n": 16, "prompt_n": 4, "predicted_n": 7}},
        Tokens(20, 16, 7),
    ),
    "llama.cpp before it told of its cache": (
        {"content": "x", "timings": {"prompt_n": 4, "predicted_n": 7}},
        Tokens(4, None, 7),
    ),
    "sglang": (
        {
            "text": "x",
            "meta_info": {
                "id": "a",
                "finish_reason": {"type": "length", "length": 7},
                "prompt_tokens": 20,
                "completion_tokens": 7,
                "cached_tokens": 16,
                "e2e_latency": 0.2,
            },
        },
        Tokens(20, 16, 7),
    ),
    "deepseek": (
        {
            "usage": {
                "prompt_tokens": 20,
                "completion_tokens": 7,
                "prompt_cache_hit_tokens": 16,
                "prompt_cache_miss_tokens": 4,
            }
        },
        Tokens(20, 16, 7),
    ),
    "langchain": (
        {
            "content": "x",
            "usage_metadata": {
                "input_tokens": 20,
                "output_tokens": 7,
                "total_tokens": 27,
                "input_token_details": {"cache_read": 16},
            },
        },
        Tokens(20, 16, 7),
    ),
    "our own": ({"input": 20, "cached_input": 16, "output": 7}, Tokens(20, 16, 7)),
}

every_reply = pytest.mark.parametrize(("reply", "tokens"), REPLIES.values(), ids=REPLIES)
both_shapes = pytest.mark.parametrize("shape", [dict, as_objects, OrderedDict])


@every_reply
@both_shapes
def test_a_reply_tells_its_tokens(
    reply: dict[str, Any], tokens: Tokens, shape: Callable[[Any], Any]
) -> None:
    """As dicts and as objects, each API's reply is read by its documented fields."""
    assert read_tokens(shape(reply)) == tokens


@every_reply
@both_shapes
def test_a_usage_alone_tells_its_tokens(
    reply: dict[str, Any], tokens: Tokens, shape: Callable[[Any], Any]
) -> None:
    """``tokens=lambda reply: reply.usage`` gives the same as the whole reply."""
    usage = reply.get("usage") or reply.get("timings") or reply
    assert read_tokens(shape(usage)) == tokens


@both_shapes
@pytest.mark.parametrize(
    "piece", [{"choices": [], "usage": None}, {"done": False, "eval_count": None}]
)
def test_a_piece_whose_usage_comes_later_tells_nothing(
    piece: dict[str, Any], shape: Callable[[Any], Any]
) -> None:
    """All pieces of a stream but the last have an empty usage, which is no fault."""
    assert read_tokens(shape(piece)) is None


def test_what_generate_returns_tells_its_tokens() -> None:
    """Of transformers: two sequences of 12, of which 5 steps were generated."""
    output = OrderedDict(sequences=Shaped(2, 12), scores=(None,) * 5)
    assert read_tokens(output) == Tokens(14, None, 10)
    assert read_tokens(SimpleNamespace(sequences=Shaped(1, 9), scores=None, logits=(0,) * 4)) == (
        Tokens(5, None, 4)
    )


def test_sequences_without_steps_are_not_guessed_at() -> None:
    """Without scores or logits prompt and output can't be told apart, and it says so."""
    with pytest.raises(TokenError, match="expected token counts"):
        read_tokens(OrderedDict(sequences=Shaped(2, 12)))


@given(prompt=counts, cached=counts, output=counts)
def test_numbers_of_every_kind_are_counts(prompt: int, cached: int, output: int) -> None:
    """Python's and numpy's whole numbers are read alike, and come out as Python's."""
    plain = {"input": prompt, "cached_input": cached, "output": output}
    for number in (int, np.int64, np.uint32):
        tokens = read_tokens({name: number(count) for name, count in plain.items()})
        assert tokens == Tokens(prompt, cached, output)
        assert read_tokens(number(output)) == Tokens(output=output)
        assert read_tokens((number(prompt), number(output))) == Tokens(prompt, None, output)
        assert type(checked("output", number(output))) is int


@given(tokens=st.builds(Tokens, st.none() | counts, st.none() | counts, st.none() | counts))
def test_tokens_are_tokens(tokens: Tokens) -> None:
    """Our own record passes through as it is."""
    assert read_tokens(tokens) == tokens


def test_nothing_tells_nothing() -> None:
    """A ``tokens=`` that returns None has nothing to tell, which is no fault."""
    assert read_tokens(None) is None


@pytest.mark.parametrize("count", [-1, 1.5, 3.0, float("nan"), True, "7", [7], np.float64(7)])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda count: {"usage": {"prompt_tokens": count, "completion_tokens": 1}},
        lambda count: {"input_tokens": 1, "output_tokens": count},
        lambda count: {"prompt_n": 1, "cache_n": count, "predicted_n": 1},
        lambda count: (1, count),
        lambda count: Tokens(output=count),
    ],
)
def test_what_is_no_count_is_refused(wrap: Callable[[Any], Any], count: Any) -> None:
    """A count that is negative or not a whole number is an error that shows it."""
    with pytest.raises(TokenError, match="a whole number of tokens, 0 or more") as caught:
        read_tokens(wrap(count))
    assert caught.value.given is count


class Pair(NamedTuple):
    """A tuple of two that is not a pair of counts."""

    text: int
    score: int


@pytest.mark.parametrize(
    "result",
    ["text", b"bytes", 1.5, object(), {}, [], [1, 2], (1, 2, 3), Pair(1, 2), {"usage": {}}, str],
    ids=lambda result: f"{type(result).__name__}-{str(result)[:9]}",
)
def test_what_holds_no_counts_is_refused(result: object) -> None:
    """A result without counts is an error that says where the kinds are listed."""
    with pytest.raises(TokenError, match=r"inferprint\.tokens"):
        read_tokens(result)
