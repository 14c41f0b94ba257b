"""A request around a call into somebody else's library, which no fault of ours may reach."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from inferprint._default import get_tracker
from inferprint.errors import MissingExtra
from inferprint.records import Outcome, Tokens
from inferprint.request import NO_LABELS, Request, as_current, outcome_of
from inferprint.tokens import read_tokens

if TYPE_CHECKING:
    from types import TracebackType

    from inferprint._runtime import Tracker

__all__ = ["Call", "Calls", "imported"]


def imported(module: str, feature: str, extra: str) -> Any:
    """A module of an optional package.

    Raises:
        MissingExtra: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(feature, extra) from error


class Calls:
    """Opens the requests of one integration.

    Args:
        where: the integration's name, which its faults are counted by.
        tracker: None: the process-wide one.
        labels: of every request.

    Raises:
        ConfigError, SourceUnavailable, MissingExtra: there is no process-wide tracker yet, and
            one cannot be made from the settings.
    """

    def __init__(
        self, where: str, tracker: Tracker | None = None, labels: Mapping[str, str] = NO_LABELS
    ) -> None:
        self.tracker = tracker if tracker is not None else get_tracker()
        self.labels = labels
        self._where = where

    def open(
        self,
        model: object,
        labels: Mapping[str, str] = NO_LABELS,
        *,
        owns_thread: bool = False,
        parent: Request | None = None,
    ) -> Call:
        """A request that starts now.

        Args:
            model: the model's name.
            labels: beside those of every request.
            owns_thread: the call runs in this thread from its start to its end, and is the
                context's current request while it does.
            parent: whose child it is; None: that of the context, if there is one.
        """
        call = Call(self)
        call.guard(lambda: self._begin(call, str(model or ""), labels, owns_thread, parent))
        return call

    def _begin(
        self,
        call: Call,
        model: str,
        labels: Mapping[str, str],
        owns_thread: bool,
        parent: Request | None,
    ) -> None:
        request = self.tracker.request(model, labels={**self.labels, **labels})
        with nullcontext() if parent is None else as_current(parent):
            request._begin(owns_thread=owns_thread, detached=not owns_thread)
        call.request = request

    def fault(self, error: Exception) -> None:
        """Counts a fault that was kept from a call, and logs the first of its kind."""
        self.tracker.fault(f"integration {self._where}", error)


class Call:
    """A request that is open, or nothing where it could not be opened; no method raises.

    Around a block it ends with it, and as it does.

    Attributes:
        request: the request; None: there is none.
    """

    __slots__ = ("_calls", "request")

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.request: Request | None = None

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end("ok" if error is None else error)

    def guard(self, step: Callable[[], object]) -> None:
        """Takes a step of ours; what it raises is counted, and goes no further."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - a user's call goes on, whatever we do wrong
            self._calls.fault(error)

    def tell(self, read: Callable[[], object]) -> None:
        """Tells of the tokens that ``read`` finds: a reply, or counts; None tells nothing."""
        request = self.request
        if request is None:
            return
        try:
            told = read_tokens(read())
            if told is not None:
                request.set_tokens(told)
        except Exception as error:  # noqa: BLE001 - a reply may be of any shape
            request.tokens_failed(error)

    def add_output(self, count: int) -> None:
        """Tells of output tokens that have just come."""
        if self.request is not None and count > 0:
            self.request.add_tokens(output=count)

    def first_token(self) -> None:
        """The first piece of the output came now, if none came before."""
        if self.request is not None:
            self.request.first_token()

    def end(self, outcome: Outcome | BaseException = "ok", tokens: Tokens | None = None) -> None:
        """It ended so; nothing, when it has ended before.

        Args:
            outcome: how, or the exception that it was left by.
            tokens: the counts, where they are known by then.
        """
        request = self.request
        if request is None or request.outcome is not None:
            return
        if tokens is not None:
            self.tell(lambda: tokens)
        named = outcome_of(outcome) if isinstance(outcome, BaseException) else outcome
        self.guard(lambda: request._end(named))
