"""A proxied request in the tracker. No fault of it reaches the exchange, but a budget's end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from inferprint._runtime import Tracker
from inferprint.errors import BudgetExceeded, TokenError
from inferprint.planned import Plan
from inferprint.proxy.insert import Footprint
from inferprint.records import Outcome, Tokens
from inferprint.request import Request
from inferprint.wire import footprint_of

__all__ = ["Tracked"]

T = TypeVar("T")


class Tracked:
    """One request; it may go through untracked.

    Args:
        tracker: measures it.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._request: Request | None = None
        self._running = False
        self._counted = 0
        self.request_id = tracker.new_id()
        self.labels: Mapping[str, str] = {}
        self.plan: Plan = {}

    async def check(self, model: str) -> None:
        """Makes the request, and checks its budget before it runs.

        Raises:
            BudgetExceeded: it is over it.
        """
        request = self._try(lambda: self._open(model))
        if request is not None and request._guard is not None:
            await request._guard.before_async(request)

    def begin(self, model: str) -> None:
        """The upstream has the request. Later calls count for nothing."""
        if self._running:
            return
        self._running = True
        if self._request is None:
            self._try(lambda: self._open(model))
        if self._request is not None:
            request = self._request
            # Not the context's current one: nothing of ours runs inside it.
            self._try(lambda: request._begin(owns_thread=False, detached=True))

    def _open(self, model: str) -> Request:
        self._request = self._tracker.request(model, labels=self.labels, **self.plan)
        self._request._id = self.request_id
        return self._request

    def count(self, pieces: int) -> None:
        """So many pieces of output have come, all in all.

        Raises:
            BudgetExceeded: it has used more than its budget.
        """
        new, self._counted = pieces - self._counted, pieces
        if new > 0 and self._request is not None:
            request = self._request
            request.tokens_counted = True
            self._try(lambda: request.add_tokens(output=new))

    def tell(self, tokens: Tokens | None, unreadable: TokenError | None) -> None:
        """What the upstream told of its tokens; all of them have come, so no budget can stop it."""
        request = self._request
        if request is None:
            return
        if tokens is not None:
            request.tokens_counted = request.tokens_counted and tokens.output is None
            with suppress(BudgetExceeded):
                self._try(lambda: request.set_tokens(tokens))
        elif unreadable is not None and not request.tokens_unreadable:
            request.tokens_failed(unreadable)

    def end(self, outcome: Outcome) -> None:
        """It has ended. Later calls count for nothing."""
        request = self._request
        if request is not None and self._running and request.outcome is None:
            self._try(lambda: request._end(outcome))

    def footprint(self) -> Footprint | None:
        """What it has used so far; None: that can't be told."""
        request = self._request
        if request is None or not self._running:
            return None
        return self._try(lambda: footprint_of(request.estimate()))

    def _try(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except BudgetExceeded:
            raise
        except Exception as error:  # noqa: BLE001 - the reply goes on whatever happens here
            self._tracker.fault("proxy", error)
            return None
