"""A receipt for every completion of a llama-cpp-python model in this process.

::

    from inferprint.integrations.llama_cpp import track_llama

    llm = track_llama(llama_cpp.Llama("model.gguf"))
    llm.create_chat_completion(messages=[...])

``create_completion`` is the one door that chats go through too, and ``eval`` what each step
computes, so that tokens are known as they come, also those of a stream, whose chunks tell none.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from inferprint.integrations._calls import Call, Calls
from inferprint.records import Tokens
from inferprint.request import NO_LABELS

if TYPE_CHECKING:
    from inferprint._runtime import Tracker

__all__ = ["track_llama"]

T = TypeVar("T")


def track_llama(
    llm: T,
    *,
    name: str | None = None,
    tracker: Tracker | None = None,
    labels: Mapping[str, str] = NO_LABELS,
) -> T:
    """Tracks the completions and chats of a model, from now on.

    Args:
        llm: a ``llama_cpp.Llama``. As without us, it serves one call at a time.
        name: the model's name on receipts; None: that of its file, without its ending.
        tracker: None: the process-wide one.
        labels: of every request; on receipts, not in metrics.

    Returns:
        The same model.

    Raises:
        TypeError: it has not the methods of one.
    """
    model: Any = llm
    if not all(callable(getattr(model, method, None)) for method in ("create_completion", "eval")):
        raise TypeError(f"llm={llm!r}: expected a llama_cpp.Llama")
    if name is None:
        path = str(getattr(model, "model_path", ""))
        name = os.path.splitext(os.path.basename(path))[0]
    door = _Door(model, Calls("llama_cpp", tracker, labels), name)
    model.create_completion = door.completing(model.create_completion)
    model.eval = door.evaluating(model.eval)
    return llm


class _Door:
    """What the calls of a model have in common: the one that runs."""

    def __init__(self, llm: Any, calls: Calls, name: str) -> None:
        self._llm, self._calls, self._name = llm, calls, name
        self._running: Call | None = None
        self._has_prompt = False

    def completing(self, create: Callable[..., Any]) -> Callable[..., Any]:
        """``create_completion``: a request from its start to the end of its reply."""

        @functools.wraps(create)
        def tracked(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get("stream"):  # nothing runs before its first chunk is asked for
                return self._followed(create(*args, **kwargs))
            with self._open(owns_thread=True) as call:
                reply = create(*args, **kwargs)
                call.tell(lambda: reply)
                return reply

        return tracked

    def _followed(self, chunks: Iterator[Any]) -> Iterator[Any]:
        with self._open(owns_thread=False):
            yield from chunks

    @contextmanager
    def _open(self, owns_thread: bool) -> Iterator[Call]:
        with self._calls.open(self._name, owns_thread=owns_thread) as call:
            self._running, self._has_prompt = call, False
            try:
                yield call
            finally:
                self._running = None

    def evaluating(self, evaluate: Callable[..., Any]) -> Callable[..., Any]:
        """``eval``: the prompt but for what is cached, then each output token but the last; after
        each of these steps one more token is there.
        """

        @functools.wraps(evaluate)
        def tracked(tokens: Sequence[int], *args: Any, **kwargs: Any) -> Any:
            call = self._running
            if call is not None and not self._has_prompt:
                self._has_prompt = True
                call.tell(lambda: self._prompt(tokens))
            result = evaluate(tokens, *args, **kwargs)
            if call is not None:
                call.add_output(1)
            return result

        return tracked

    def _prompt(self, tokens: Sequence[int]) -> Tokens:
        cached = int(self._llm.n_tokens)
        return Tokens(cached + len(tokens), cached)
