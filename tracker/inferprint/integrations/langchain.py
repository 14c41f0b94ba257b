"""A receipt for every call that a LangChain model makes, and for the chain around them.

::

    from inferprint.integrations.langchain import callback_handler

    chain.invoke("Hello", config={"callbacks": [callback_handler()]})

A call of a model is a request. The outermost chain, agent or graph around it is one too, and its
parent: ``receipt.with_children()`` of that is the whole workflow's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferprint.integrations._calls import Call, Calls, imported
from inferprint.records import Tokens
from inferprint.request import NO_LABELS
from inferprint.tokens import read_tokens

if TYPE_CHECKING:
    from inferprint._runtime import Tracker

__all__ = ["callback_handler"]

# Runs that are open at most: what is never ended, as a task that was killed, may not pile up.
MOST_OPEN = 10_000


def callback_handler(
    *,
    tracker: Tracker | None = None,
    labels: Mapping[str, str] = NO_LABELS,
    raise_error: bool = False,
) -> Any:
    """A callback handler, to be passed as one of the ``callbacks`` of anything of LangChain's.

    Args:
        tracker: None: the process-wide one.
        labels: of every request; on receipts, not in metrics.
        raise_error: as LangChain's handlers have it; ours raises nothing anyhow.

    Raises:
        MissingExtra: the package langchain-core is not installed.
    """
    feature = "inferprint.integrations.langchain"
    base = imported("langchain_core.callbacks", feature, "langchain").BaseCallbackHandler
    kind = type("InferprintHandler", (_Handler, base), {"__module__": __name__})
    handler = kind(Calls("langchain", tracker, labels))
    handler.raise_error = raise_error
    return handler


class _Handler:
    """What LangChain calls, from whichever thread; none of its methods raises."""

    # In the caller's thread also of async chains: an executor would start and end them late.
    run_inline = True

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._open: dict[Any, Call] = {}
        # The outermost run of each that is inside one.
        self._roots: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def on_llm_start(self, serialized: Any, prompts: Any, **kwargs: Any) -> None:
        """A model is called with prompts."""
        self._start(_model(serialized, kwargs), kwargs)

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        """A model is called with messages."""
        self._start(_model(serialized, kwargs), kwargs)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """A piece of its output, of a stream."""
        call = self._open.get(kwargs.get("run_id"))
        if call is not None:
            call.first_token()

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        """It has answered."""
        call = self._pop(kwargs.get("run_id"))
        if call is not None:
            call.tell(lambda: _tokens(response))
            call.end("ok")

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        """It has failed, or was left."""
        self._end(kwargs.get("run_id"), error)

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        """A chain, or a part of one, begins."""
        if kwargs.get("parent_run_id") is None:
            self._start(str(kwargs.get("name") or _name(serialized) or "chain"), kwargs)
        else:
            self._inside(kwargs)

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        """It has ended."""
        self._end(kwargs.get("run_id"), None)

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        """It has failed."""
        self._end(kwargs.get("run_id"), error)

    def on_tool_start(self, serialized: Any, input_str: Any, **kwargs: Any) -> None:
        """A tool of an agent begins, which may call models."""
        self._inside(kwargs)

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        """It has ended."""
        self._end(kwargs.get("run_id"), None)

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        """It has failed."""
        self._end(kwargs.get("run_id"), error)

    def _inside(self, kwargs: Mapping[str, Any]) -> Any:
        """Notes what the run is inside of; its outermost run."""
        parent = kwargs.get("parent_run_id")
        with self._lock:
            root = self._roots.get(parent, parent)
            if root is not None and len(self._roots) < MOST_OPEN:
                self._roots[kwargs.get("run_id")] = root
        return root

    def _start(self, model: str, kwargs: Mapping[str, Any]) -> None:
        root = self._open.get(self._inside(kwargs))
        parent = root.request if root is not None else None
        call = self._calls.open(model, parent=parent)
        with self._lock:
            oldest = next(iter(self._open)) if len(self._open) >= MOST_OPEN else None
            lost = self._open.pop(oldest, None)
            self._open[kwargs.get("run_id")] = call
        if lost is not None:
            lost.end("cancelled")

    def _pop(self, run_id: Any) -> Call | None:
        with self._lock:
            self._roots.pop(run_id, None)
            return self._open.pop(run_id, None)

    def _end(self, run_id: Any, error: BaseException | None) -> None:
        call = self._pop(run_id)
        if call is not None:
            call.end("ok" if error is None else error)


def _model(serialized: Any, kwargs: Mapping[str, Any]) -> str:
    """By what the model was asked with, else by its class."""
    asked, told = kwargs.get("invocation_params"), kwargs.get("metadata")
    for holder, key in ((asked, "model"), (asked, "model_name"), (told, "ls_model_name")):
        name = holder.get(key) if isinstance(holder, Mapping) else None
        if name:
            return str(name)
    return _name(serialized) or str(kwargs.get("name") or "")


def _name(serialized: Any) -> str:
    if not isinstance(serialized, Mapping):
        return ""
    path = serialized.get("id")
    return str(serialized.get("name") or (path[-1] if isinstance(path, list) and path else ""))


def _tokens(response: Any) -> Tokens | None:
    """Of an ``LLMResult``: the sum over its messages, else what the provider told of them all."""
    found = [
        told
        for generations in response.generations
        for one in generations
        if (told := getattr(getattr(one, "message", None), "usage_metadata", None))
    ]
    if found:
        counts = [tokens for tokens in map(read_tokens, found) if tokens is not None]
        return Tokens(
            _sum([one.input for one in counts]),
            _sum([one.cached_input for one in counts]),
            _sum([one.output for one in counts]),
        )
    output = response.llm_output or {}
    told = output.get("token_usage") or output.get("usage")
    return read_tokens(told) if told else None


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
