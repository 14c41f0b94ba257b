"""A receipt for every ``generate`` of a transformers model, and every request of its batching.

::

    from inferprint.integrations.transformers import track_model

    model = track_model(AutoModelForCausalLM.from_pretrained(...))
    model.generate(**inputs, max_new_tokens=100)

Calls of ``generate`` that overlap, in threads, are requests that overlap. With continuous batching
(``generate_batch``, ``continuous_batching_context_manager``, ``init_continuous_batching``) each
request of the batch is one, from its submission to its last token.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from inferprint.integrations._calls import Call, Calls
from inferprint.integrations._transformers_batch import follow_manager
from inferprint.records import Tokens
from inferprint.request import NO_LABELS

if TYPE_CHECKING:
    from inferprint._runtime import Tracker

__all__ = ["track_model"]

T = TypeVar("T")

# Where ``generate`` takes its criteria, when its arguments are given by their place.
CRITERIA_PLACE = 3


def track_model(
    model: T,
    *,
    name: str | None = None,
    tracker: Tracker | None = None,
    labels: Mapping[str, str] = NO_LABELS,
) -> T:
    """Tracks a model's generation, from now on.

    Args:
        model: a model of transformers, with a method ``generate``.
        name: the model's name on receipts; None: what it was loaded by, else its class.
        tracker: None: the process-wide one.
        labels: of every request; on receipts, not in metrics.

    Returns:
        The same model.

    Raises:
        TypeError: it has no method ``generate``.
    """
    if not callable(getattr(model, "generate", None)):
        raise TypeError(f"model={model!r}: expected a model with a method generate")
    found: Any = model
    calls = Calls("transformers", tracker, labels)
    called = name or getattr(found, "name_or_path", "") or type(found).__name__
    found.generate = _generate(found, calls, called)
    if hasattr(found, "init_continuous_batching"):
        found.init_continuous_batching = _batching(found, calls, called)
    return model


def _generate(model: Any, calls: Calls, name: str) -> Callable[..., Any]:
    generate = model.generate

    @functools.wraps(generate)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        if _is_paged(model, args, kwargs):  # its requests are those of continuous batching
            return generate(*args, **kwargs)
        # The thread is its own from start to end, whether or not a loop runs in it.
        with calls.open(name, owns_thread=True) as call:
            run = _Run(model, call, args, kwargs)
            result = generate(*args, **run.watched(kwargs, len(args)))
            call.tell(lambda: run.tokens(result))
            return result

    return tracked


def _is_paged(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    config = args[1] if len(args) > 1 else kwargs.get("generation_config")
    for holder in (config, model.generation_config):
        if getattr(holder, "cache_implementation", None) == "paged":
            return True
    return kwargs.get("cache_implementation") == "paged"


def _batching(model: Any, calls: Calls, name: str) -> Callable[..., Any]:
    init = model.init_continuous_batching

    @functools.wraps(init)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        manager = init(*args, **kwargs)
        try:
            follow_manager(manager, calls, name)
        except Exception as error:  # noqa: BLE001 - another version's manager still serves
            calls.fault(error)
        return manager

    return tracked


class _Run:
    """One call of ``generate``: what it was given, and how far it is.

    Its method ``step`` stands among the stopping criteria, which are asked after every step, and
    stops nothing.
    """

    def __init__(
        self, model: Any, call: Call, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self._model, self._call = model, call
        given = args[0] if args else kwargs.get("inputs", kwargs.get("input_ids"))
        self._prompt = given if getattr(given, "ndim", 0) == 2 else None
        self._mask = kwargs.get("attention_mask")
        self._length: int | None = None
        self._never: Any = None
        if self._prompt is not None:
            call.tell(lambda: Tokens(self._input_tokens()))

    def watched(self, kwargs: dict[str, Any], places: int) -> dict[str, Any]:
        """The arguments, with ours behind the criteria that were given."""
        if places > CRITERIA_PLACE or kwargs.get("custom_generate") is not None:
            return kwargs
        found = dict(kwargs)

        def add() -> None:
            listed = importlib.import_module("transformers").StoppingCriteriaList
            found["stopping_criteria"] = listed(
                [*(kwargs.get("stopping_criteria") or ()), self.step]
            )

        self._call.guard(add)
        return found

    def step(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """A step has ended; never a reason to stop."""
        rows, length = input_ids.shape
        if self._never is None or self._never.shape[0] != rows:
            self._never = input_ids.new_zeros(rows, dtype=importlib.import_module("torch").bool)
        self._progress(rows, length)
        return self._never

    def _progress(self, rows: int, length: int) -> None:
        self._call.first_token()
        if self._length is not None:
            self._call.add_output(rows * (length - self._length))
        elif self._prompt is not None and not self._is_encoder_decoder:
            self._call.add_output(rows * (length - self._prompt.shape[1]))
        else:
            self._call.add_output(rows)
        self._length = length

    def tokens(self, result: Any) -> Tokens:
        """The counts, once it is over: every row up to its end, without what pads it."""
        sequences = getattr(result, "sequences", result)
        start = 0
        if self._is_encoder_decoder:
            start = 1
        elif self._prompt is not None:
            start = self._prompt.shape[1]
        new = sequences[:, start:]
        return Tokens(self._input_tokens(), None, _until_end(new, self._ends()))

    @property
    def _is_encoder_decoder(self) -> bool:
        return bool(getattr(self._model.config, "is_encoder_decoder", False))

    def _input_tokens(self) -> int | None:
        if self._prompt is None:
            return None
        mask = self._mask
        if mask is not None and mask.shape == self._prompt.shape:
            return int(mask.sum())
        return int(self._prompt.numel())

    def _ends(self) -> list[int]:
        end = getattr(self._model.generation_config, "eos_token_id", None)
        if end is None:
            return []
        return [int(one) for one in end] if isinstance(end, list | tuple) else [int(end)]


def _until_end(new: Any, ends: Sequence[int]) -> int:
    """Tokens up to the first that ends a row, that one included."""
    if not ends or new.shape[1] == 0:
        return int(new.numel())
    torch = importlib.import_module("torch")
    ended = torch.isin(new, torch.tensor(ends, device=new.device))
    # Of the tokens before which none has ended the row, the ending one is the last.
    before = ended.cumsum(dim=1) - ended.long()
    return int((before == 0).sum())
