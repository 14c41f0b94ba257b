"""Token counts, read from what servers and libraries return.

Understood are mappings and objects of these kinds, and whatever holds one as ``usage``:

- our own: ``input``, ``cached_input``, ``output`` (also ``records.Tokens``)
- OpenAI chat and completions: ``prompt_tokens``, ``completion_tokens``,
  ``prompt_tokens_details.cached_tokens``
- OpenAI responses: ``input_tokens``, ``output_tokens``, ``input_tokens_details.cached_tokens``
- Anthropic: ``input_tokens``, ``output_tokens``, and apart from the input
  ``cache_read_input_tokens`` and ``cache_creation_input_tokens``
- Ollama: ``prompt_eval_count``, ``eval_count``
- llama.cpp: ``timings`` with ``prompt_n``, ``cache_n``, ``predicted_n``
- SGLang: ``meta_info`` with ``prompt_tokens``, ``cached_tokens``, ``completion_tokens``; DeepSeek:
  ``prompt_cache_hit_tokens`` in a usage like OpenAI's
- LangChain: ``usage_metadata`` with ``input_tokens``, ``input_token_details.cache_read``
- transformers' ``generate(..., return_dict_in_generate=True)`` with scores or logits:
  as many output tokens as steps
- a whole number: output tokens; a pair of whole numbers: input and output tokens
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any, NamedTuple

from inferprint.errors import TokenError
from inferprint.records import Tokens


class Kind(NamedTuple):
    """The fields that hold the counts.

    Of the fields for what was cached, the first that is there is read. ``left_out`` are those that
    the input count leaves out and that belong to it; such a kind is recognised by them.
    """

    input: str
    cached_input: tuple[str, ...]
    output: str
    left_out: tuple[str, ...] = ()


KINDS = (
    Kind(
        "prompt_tokens",
        ("prompt_tokens_details.cached_tokens", "cached_tokens", "prompt_cache_hit_tokens"),
        "completion_tokens",
    ),
    Kind(
        "input_tokens",
        ("cache_read_input_tokens",),
        "output_tokens",
        left_out=("cache_read_input_tokens", "cache_creation_input_tokens"),
    ),
    Kind(
        "input_tokens",
        ("input_tokens_details.cached_tokens", "input_token_details.cache_read"),
        "output_tokens",
    ),
    Kind("prompt_eval_count", (), "eval_count"),
    Kind("prompt_n", ("cache_n",), "predicted_n", left_out=("cache_n",)),
    Kind("prompt_n", (), "predicted_n"),
    Kind("input", ("cached_input",), "output"),
)
HOLDERS = ("usage", "timings", "meta_info", "usage_metadata")
# Fields that are empty in the pieces of a stream whose counts come in its last piece.
COME_LATER = ("usage", "eval_count")


def checked(name: str, count: object) -> int:
    """A token count, if it is one.

    Args:
        name: the argument's name, for the error.
        count: a whole number, 0 or more.

    Raises:
        TokenError: it is not.
    """
    if type(count) is int and count >= 0:
        return count
    try:
        whole = -1 if isinstance(count, bool) else index(count)  # type: ignore[arg-type]
    except TypeError:
        whole = -1
    if whole < 0:
        raise TokenError(name, count, "a whole number of tokens, 0 or more")
    return whole


def checked_tokens(tokens: Tokens) -> Tokens:
    """The tokens, if each of their counts is one or is None.

    Raises:
        TokenError: one is not.
    """
    for name in ("input", "cached_input", "output"):
        count = getattr(tokens, name)
        if count is not None:
            checked(name, count)
    return tokens


def read_tokens(result: object) -> Tokens | None:
    """The tokens that a result tells of.

    Args:
        result: what a tracked call returned, or what its ``tokens=`` function made of it.

    Returns:
        Its counts; None for what tells nothing: None, and a piece of a stream whose usage
        comes later.

    Raises:
        TokenError: it is of no kind that is understood, or a count in it is not usable.
    """
    if result is None:
        return None
    if isinstance(result, Tokens):
        return checked_tokens(result)
    if hasattr(result, "__index__"):
        return Tokens(output=checked("output", result))
    if isinstance(result, tuple) and len(result) == 2 and not hasattr(result, "_fields"):
        return Tokens(checked("input", result[0]), None, checked("output", result[1]))
    # The result itself comes last: OpenAI's responses have an ``output`` that is no count.
    for holder in (*(_get(result, name) for name in HOLDERS), result):
        found = _from_fields(holder) if holder is not None else None
        if found is not None:
            return found
    found = _from_generate(result)
    if found is None and not any(_is_empty(result, name) for name in COME_LATER):
        expected = "token counts of a kind that inferprint.tokens describes"
        raise TokenError("tokens", type(result).__name__, expected)
    return found


def _is_empty(holder: object, name: str) -> bool:
    """Whether it has this field, and nothing in it."""
    if isinstance(holder, Mapping):
        return name in holder and holder[name] is None
    return hasattr(holder, name) and getattr(holder, name) is None


def _get(holder: object, path: str) -> Any:
    """The value at a dotted path, through mappings and attributes alike; None: not there."""
    for name in path.split("."):
        holder = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
        if holder is None:
            return None
    return holder


def _from_fields(holder: object) -> Tokens | None:
    for kind in KINDS:
        prompt, output = _get(holder, kind.input), _get(holder, kind.output)
        if any(map(callable, (prompt, output))) or (prompt is None and output is None):
            continue
        left_out = [_get(holder, name) for name in kind.left_out]
        if kind.left_out and not any(count is not None for count in left_out):
            continue
        cached = next(
            (
                (name, count)
                for name in kind.cached_input
                if (count := _get(holder, name)) is not None
            ),
            ("", None),
        )
        return _tokens(kind, (prompt, cached, output), left_out)
    return None


def _tokens(
    kind: Kind, counts: tuple[object, tuple[str, object], object], left_out: Sequence[object]
) -> Tokens:
    named = ((kind.input, counts[0]), counts[1], (kind.output, counts[2]))
    prompt, cached, output = (
        None if count is None else checked(name, count) for name, count in named
    )
    if prompt is not None:
        names = zip(kind.left_out, left_out, strict=True)
        prompt += sum(checked(name, count) for name, count in names if count is not None)
    return Tokens(prompt, cached, output)


def _from_generate(result: object) -> Tokens | None:
    """Of transformers' generate: sequences of prompt and output, and one score a step."""
    shape = _get(result, "sequences.shape")
    steps = _get(result, "scores") or _get(result, "logits")
    if shape is None or steps is None or len(shape) != 2:
        return None
    rows, length = int(shape[0]), int(shape[1])
    return Tokens(rows * (length - len(steps)), None, rows * len(steps))
