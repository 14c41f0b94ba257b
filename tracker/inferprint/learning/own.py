"""What the requests of a window did of their own in it, and the weight of that, by model.

Kept in columns: this is run for every request in flight, in every window, on every device.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from inferprint.learning.errors import EXACT, WorkError
from inferprint.learning.progress import Progress
from inferprint.learning.work import NO_WORK, Work

Key = TypeVar("Key", bound=Hashable)


class Part(Generic[Key]):
    """A request that is in flight in windows: the same one from its first to its last.

    Args:
        key: what stands for it.
        model: its model.
        progress: its work.
    """

    __slots__ = ("corrections", "done", "key", "model", "progress")

    def __init__(self, key: Key, model: str, progress: Progress) -> None:
        self.key, self.model, self.progress = key, model, progress
        # What it had done, and been corrected by, at the last window's end.
        self.done: tuple[float, float, float] = NO_WORK
        self.corrections = NO_WORK


class Took(NamedTuple, Generic[Key]):
    """What the requests of one model did in a window, request by request.

    Args:
        keys: what stands for each.
        prompts, outputs, contexts: their ``Work``.
        new: all of it together, without what had been done before the window and was not
            expected to have been.
    """

    keys: Sequence[Key]
    prompts: Sequence[float]
    outputs: Sequence[float]
    contexts: Sequence[float]
    new: Work


class Own(NamedTuple, Generic[Key]):
    """The weights of requests' own work in a window.

    Args:
        keys: what stands for each request.
        weights: of each, not negative.
        prompts, outputs: tokens of each, where the weights are those of tokens.
        prompt_j: weight of a prompt token.
        error: how far off the weights of the tokens may be.
    """

    keys: Sequence[Key]
    weights: Sequence[float]
    prompts: Sequence[float] = ()
    outputs: Sequence[float] = ()
    prompt_j: float = 0.0
    error: WorkError = EXACT


def take(end_s: float, parts: Iterable[Part[Key]]) -> Mapping[str, Took[Key]]:
    """Takes the work that requests have done since the last window, by model.

    Args:
        end_s: the end of this one.
        parts: the requests.
    """
    by_model: dict[str, list[Part[Key]]] = defaultdict(list)
    for part in parts:
        by_model[part.model].append(part)
    return {model: _took(end_s, its) for model, its in by_model.items()}


def _took(end_s: float, parts: Sequence[Part[Key]]) -> Took[Key]:
    prompts, outputs, contexts = list[float](), list[float](), list[float]()
    add_prompts, add_outputs, add_contexts = prompts.append, outputs.append, contexts.append
    new = NO_WORK
    for part in parts:
        progress, (had_prompt, had_output, had_context) = part.progress, part.done
        part.done = prompt, output, context = progress.done(end_s)
        add_prompts(prompt - had_prompt)
        add_outputs(output - had_output)
        add_contexts(context - had_context)
        if progress.corrections is not part.corrections:
            new = new.minus(progress.corrections.minus(part.corrections))
            part.corrections = progress.corrections
    new = new.plus(Work(sum(prompts), sum(outputs), sum(contexts)))
    return Took([part.key for part in parts], prompts, outputs, contexts, new)


def weigh(took: Took[Key], price_j: Work, error: WorkError | None) -> Own[Key]:
    """The weight of each request's own work.

    Args:
        took: the requests of one model.
        price_j: weight of each of its tokens.
        error: how far off that may be; None: not known, so prompts are not told apart.
    """
    prompt_j, output_j, context_j = price_j
    columns = zip(took.prompts, took.outputs, took.contexts, strict=True)
    weights = [p * prompt_j + o * output_j + c * context_j for p, o, c in columns]
    if min(weights) < 0:
        weights = [max(0.0, weight) for weight in weights]
    if error is None:
        return Own(took.keys, weights, took.prompts, took.outputs)
    return Own(took.keys, weights, took.prompts, took.outputs, prompt_j, error)
