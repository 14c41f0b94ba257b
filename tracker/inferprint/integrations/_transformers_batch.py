"""The requests of transformers' continuous batching, which its manager hands to its own thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from inferprint.integrations._calls import Call, Calls
from inferprint.records import Outcome, Tokens

__all__ = ["follow_manager"]

# What transformers puts between a request's name and the number of a further sequence of it.
CHILD = "__child#"


def follow_manager(manager: Any, calls: Calls, name: str) -> None:
    """Makes a request of everything that is submitted to a ``ContinuousBatchingManager``.

    Args:
        manager: made, and started or not.
        calls: opens the requests.
        name: the model's name.

    Raises:
        AttributeError: it is made otherwise than those that are known.
    """
    if hasattr(manager, "_inferprint"):  # kept over calls, with ``persistent_manager``
        return
    router = manager.output_router
    batch = _Batch(calls, name, int(manager.num_return_sequences or 1))
    wrapped = {
        (manager, "add_request"): batch.adding(manager.add_request),
        (manager, "cancel_request"): batch.cancelling(manager.cancel_request),
        (manager, "stop"): batch.stopping(manager.stop),
        (router, "deliver"): batch.delivering(router.deliver, lambda output: [output]),
        (router, "deliver_batch"): batch.delivering(router.deliver_batch, lambda some: some),
    }
    for (holder, attribute), function in wrapped.items():
        setattr(holder, attribute, function)
    manager._inferprint = batch


class _Batch:
    """The requests of a manager that are open, by the names that it has for them.

    Args:
        calls: opens the requests.
        name: the model's name.
        sequences: that each request gives.
    """

    def __init__(self, calls: Calls, name: str, sequences: int) -> None:
        self._calls, self._name, self._sequences = calls, name, sequences
        self._open: dict[str, _Served] = {}
        self._lock = threading.Lock()

    def adding(self, add: Callable[..., Any]) -> Callable[..., Any]:
        """Submission: a request starts as it waits its turn."""

        @functools.wraps(add)
        def wrapper(input_ids: Any, request_id: Any = None, *args: Any, **kwargs: Any) -> Any:
            call = self._calls.open(self._name)
            call.tell(lambda: Tokens(len(input_ids)))
            served = _Served(call, self._sequences)
            if request_id is not None:  # before it is submitted: it may end at once
                self._put(request_id, served)
            try:
                named = add(input_ids, request_id, *args, **kwargs)
            except BaseException as error:
                self._pop(request_id)
                call.end(error)
                raise
            if named is None:
                self._pop(request_id)
                call.end("cancelled")
            elif request_id is None:
                self._put(named, served)
            return named

        return wrapper

    def cancelling(self, cancel: Callable[..., Any]) -> Callable[..., Any]:
        """Cancellation, of which nothing is delivered."""

        @functools.wraps(cancel)
        def wrapper(request_id: Any, *args: Any, **kwargs: Any) -> Any:
            self._end([request_id], "cancelled")
            return cancel(request_id, *args, **kwargs)

        return wrapper

    def stopping(self, stop: Callable[..., Any]) -> Callable[..., Any]:
        """The manager's stop, which may leave requests unserved; unless it is not waited for."""

        @functools.wraps(stop)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return stop(*args, **kwargs)
            finally:
                if (args[0] if args else kwargs.get("block", True)) is not False:
                    self._end([*self._open], "cancelled")

        return wrapper

    def delivering(
        self, deliver: Callable[..., Any], outputs: Callable[[Any], Iterable[Any]]
    ) -> Callable[..., Any]:
        """Delivery: of each token of those that stream, else of the whole."""

        @functools.wraps(deliver)
        def wrapper(delivered: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                for output in outputs(delivered):
                    self._take(output)
            except Exception as error:  # noqa: BLE001 - what is delivered may not wait for us
                self._calls.fault(error)
            return deliver(delivered, *args, **kwargs)

        return wrapper

    def _take(self, output: Any) -> None:
        name = str(output.request_id).partition(CHILD)[0]
        with self._lock:
            served = self._open.get(name)
            if served is None:
                return
            served.take(output)
            if served.left == 0:
                del self._open[name]

    def _put(self, name: Any, served: _Served) -> None:
        with self._lock:
            self._open[str(name)] = served

    def _pop(self, name: Any) -> None:
        with self._lock:
            self._open.pop(str(name), None)

    def _end(self, names: Iterable[Any], outcome: Outcome) -> None:
        with self._lock:
            ended = [self._open.pop(str(name), None) for name in names]
        for served in ended:
            if served is not None:
                served.call.end(outcome)


class _Served:
    """One request: its sequences, and the output tokens that each has had."""

    def __init__(self, call: Call, sequences: int) -> None:
        self.call, self.left = call, sequences
        self._counts: dict[str, int] = {}
        self._outcome: Outcome = "ok"

    def take(self, output: Any) -> None:
        """Some output, or the end, of one of its sequences."""
        count, before = len(output.generated_tokens), self._counts.get(output.request_id, 0)
        self._counts[output.request_id] = count
        if output.is_finished() and not before:
            # It does not stream: its last token is here, and when the first came is not known.
            self.call.tell(lambda: Tokens(output=sum(self._counts.values())))
        else:
            self.call.add_output(count - before)
        if output.is_finished():
            self._outcome = "error" if output.error is not None else self._outcome
            self.left -= 1
        if self.left == 0:
            self.call.end(self._outcome)
