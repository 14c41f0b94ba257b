"""Joules a token of a whole engine, from the counters on its own ``/metrics``.

For engines that no hook reaches: what a window's devices used, over the tokens that the engine
counted in it. It is a figure of the window and of all its requests together, idle energy included,
and never one of a request.

Counters are read as these document them: vLLM (``vllm:*``), SGLang (``sglang:*``), Text Generation
Inference (``tgi_*``) and llama.cpp's server (``llamacpp:*``). The last two do not say which model
they serve.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import NamedTuple

from inferprint.errors import ReadingError
from inferprint.page_text import read_page, reason
from inferprint.ranges import Range
from inferprint.records import Tokens

__all__ = ["EngineWindow", "TokenCounts", "engine_windows", "read_counts", "scrape"]

MODEL_LABELS = ("model_name", "model")


class _Engine(NamedTuple):
    """What an engine calls its counters; empty: it has none."""

    name: str
    input: str
    cached_input: str
    output: str


ENGINES = (
    _Engine("vllm", "vllm:prompt_tokens", "vllm:prompt_tokens_cached", "vllm:generation_tokens"),
    _Engine("sglang", "sglang:prompt_tokens", "sglang:cached_tokens", "sglang:generation_tokens"),
    _Engine("tgi", "tgi_request_input_length_sum", "", "tgi_request_generated_tokens_sum"),
    _Engine("llama.cpp", "llamacpp:prompt_tokens", "", "llamacpp:tokens_predicted"),
)


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """What an engine has counted since it started.

    Args:
        engine: ``vllm``, ``sglang``, ``tgi`` or ``llama.cpp``.
        by_model: tokens by the model's name, empty where the engine does not tell it. ``input``
            of vLLM and SGLang includes what was cached; llama.cpp's leaves it out.
    """

    engine: str
    by_model: Mapping[str, Tokens]


@dataclass(frozen=True, slots=True)
class EngineWindow:
    """What a model's engine did in a window, and what its devices used meanwhile.

    Args:
        engine, model: as in ``TokenCounts``.
        tokens: those of the window.
        window_energy_j: what the devices used in the window, idle included; None where several
            models ran in it, whose parts cannot be told.
        window_joules_per_token: that over all tokens that were computed, which are the prompt's
            that were not cached and the output's; None: no token was, or the energy is None.
        window_joules_per_output_token: the same energy over output tokens alone.
    """

    engine: str
    model: str
    tokens: Tokens
    window_energy_j: Range | None
    window_joules_per_token: Range | None
    window_joules_per_output_token: Range | None


def read_counts(text: str) -> TokenCounts | None:
    """The token counters in a page of metrics.

    Args:
        text: in Prometheus' text format.

    Returns:
        The counts; None: it has none of an engine that is known.

    Raises:
        ReadingError: it is not in that format.
    """
    values: dict[str, defaultdict[str, float]] = {}
    try:
        for name, labels, value in _samples(text):
            model = next((labels[key] for key in MODEL_LABELS if key in labels), "")
            values.setdefault(name, defaultdict(float))[model] += value
    except (ValueError, KeyError, IndexError) as error:
        raise ReadingError(f"metrics that can't be read: {error}", "format") from error
    for engine in ENGINES:
        found: dict[str, Mapping[str, float]] = {}
        found |= {part: values.get(name, {}) for part, name in _names(engine).items()}
        if found["input"] or found["output"]:
            models = sorted({*found["input"], *found["output"]})
            return TokenCounts(engine.name, {model: _tokens(found, model) for model in models})
    return None


def engine_windows(
    before: TokenCounts, after: TokenCounts, energy_j: Range | None
) -> list[EngineWindow]:
    """What each model did between two readings.

    Args:
        before: the earlier one.
        after: the later one, of the same engine; counts that have fallen are of one that was
            started anew, and count from 0.
        energy_j: what the engine's devices used between them; None: not known.

    Returns:
        One for each model that has counted anything.
    """
    told = {
        model: _since(before.by_model.get(model), tokens)
        for model, tokens in after.by_model.items()
    }
    busy = {model: tokens for model, tokens in told.items() if tokens.input or tokens.output}
    alone = energy_j if len(busy) == 1 else None
    return [_window(after.engine, model, tokens, alone) for model, tokens in busy.items()]


def scrape(url: str) -> TokenCounts:
    """Reads an engine's counters; it takes at most a few seconds.

    Args:
        url: of its metrics, such as ``http://127.0.0.1:8000/metrics``.

    Raises:
        ReadingError: they could not be read, or are of no engine that is known.
    """
    try:
        page = read_page(url)
    except (OSError, HTTPException, ValueError) as error:
        raise ReadingError(f"{url} could not be read: {reason(error)}", "unreachable") from error
    counts = read_counts(page)
    if counts is None:
        known = ", ".join(engine.name for engine in ENGINES)
        raise ReadingError(f"{url} has no token counters of {known}", "unknown")
    return counts


def _samples(text: str) -> Iterable[tuple[str, Mapping[str, str], float]]:
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name.removesuffix("_total"), sample.labels, sample.value


def _names(engine: _Engine) -> Mapping[str, str]:
    return {"input": engine.input, "cached_input": engine.cached_input, "output": engine.output}


def _tokens(found: Mapping[str, Mapping[str, float]], model: str) -> Tokens:
    counts = {part: values.get(model) for part, values in found.items()}
    return Tokens(**{part: None if n is None else round(n) for part, n in counts.items()})


def _since(before: Tokens | None, after: Tokens) -> Tokens:
    parts = ("input", "cached_input", "output")
    return Tokens(**{part: _less(getattr(after, part), getattr(before, part, 0)) for part in parts})


def _less(after: int | None, before: int | None) -> int | None:
    if after is None:
        return None
    return after - before if before is not None and after >= before else after


def _window(engine: str, model: str, tokens: Tokens, energy_j: Range | None) -> EngineWindow:
    computed = (tokens.input or 0) - (tokens.cached_input or 0) + (tokens.output or 0)
    return EngineWindow(
        engine, model, tokens, energy_j, _each(energy_j, computed), _each(energy_j, tokens.output)
    )


def _each(energy_j: Range | None, count: int | None) -> Range | None:
    return energy_j * (1 / count) if energy_j is not None and count and count > 0 else None
