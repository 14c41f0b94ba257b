"""Token counts, read from what servers and libraries return.

Understood are mappings and objects of these kinds, and whatever holds one as ``usage``:

- our own: ``input``, ``cached_input``, ``output`` (also ``records.Tokens``)
- OpenAI chat and completions: ``prompt_tokens``, ``completion_tokens``,
  ``prompt_tokens_details.cached_tokens``
- OpenAI responses and Anthropic: ``input_tokens``, ``output_tokens``,
  ``input_tokens_details.cached_tokens`` or ``cache_read_input_tokens``
- Ollama: ``prompt_eval_count``, ``eval_count``
- llama.cpp: ``timings`` with ``prompt_n``, ``cache_n``, ``predicted_n``
- transformers' ``generate(..., return_dict_in_generate=True)`` with scores or logits:
  as many output tokens as steps
- a whole number: output tokens; a pair of whole numbers: input and output tokens
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import Any, NamedTuple

from inferprint.errors import TokenError
from inferprint.records import Tokens


class Kind(NamedTuple):
    """Where the counts are; ``apart`` says that the input count leaves the cached ones out."""

    input: str
    cached_input: str
    output: str
    apart: bool = False


KINDS = (
    Kind("prompt_tokens", "prompt_tokens_details.cached_tokens", "completion_tokens"),
    Kind("input_tokens", "cache_read_input_tokens", "output_tokens", apart=True),
    Kind("input_tokens", "input_tokens_details.cached_tokens", "output_tokens"),
    Kind("prompt_eval_count", "", "eval_count"),
    Kind("prompt_n", "cache_n", "predicted_n", apart=True),
    Kind("input", "cached_input", "output"),
)


def checked(name: str, count: object) -> int:
    """A token count, if it is one.

    Args:
        name: the argument's name, for the error.
        count: a whole number, 0 or more.

    Raises:
        TokenError: it is not.
    """
    try:
        whole = -1 if isinstance(count, bool) else index(count)  # type: ignore[arg-type]
    except TypeError:
        whole = -1
    if whole < 0:
        raise TokenError(name, count, "a whole number of tokens, 0 or more")
    return whole


def read_tokens(result: object) -> Tokens | None:
    """The tokens that a result tells of.

    Args:
        result: what a tracked call returned, or what its ``tokens=`` function made of it.

    Returns:
        Its counts; None for None, which tells nothing.

    Raises:
        TokenError: it is of no kind that is understood, or a count in it is not usable.
    """
    if result is None or isinstance(result, Tokens):
        return result
    if hasattr(result, "__index__"):
        return Tokens(output=checked("output", result))
    if isinstance(result, tuple) and len(result) == 2 and not hasattr(result, "_fields"):
        return Tokens(checked("input", result[0]), None, checked("output", result[1]))
    for holder in (result, _get(result, "usage"), _get(result, "timings")):
        found = _from_fields(holder) if holder is not None else None
        if found is not None:
            return found
    found = _from_generate(result)
    if found is not None:
        return found
    raise TokenError("tokens", type(result).__name__, "token counts of a kind that is documented")


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
        cached = _get(holder, kind.cached_input) if kind.cached_input else None
        if any(map(callable, (prompt, output))) or (prompt is None and output is None):
            continue
        if kind.cached_input == "cache_read_input_tokens" and cached is None:
            continue
        return _tokens(kind, prompt, cached, output)
    return None


def _tokens(kind: Kind, prompt: object, cached: object, output: object) -> Tokens:
    counts = [
        None if count is None else checked(name, count)
        for name, count in zip(kind[:3], (prompt, cached, output), strict=True)
    ]
    if kind.apart and counts[0] is not None:
        counts[0] += counts[1] or 0
    return Tokens(*counts)


def _from_generate(result: object) -> Tokens | None:
    """Of transformers' generate: sequences of prompt and output, and one score a step."""
    shape = _get(result, "sequences.shape")
    steps = _get(result, "scores") or _get(result, "logits")
    if shape is None or steps is None or len(shape) != 2:
        return None
    rows, length = int(shape[0]), int(shape[1])
    return Tokens(rows * (length - len(steps)), None, rows * len(steps))
