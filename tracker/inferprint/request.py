"""A request: what a user's code holds while it runs, and the decorator that makes one.

The path of a request does as little as can be: it takes the time, and puts the request on
a queue that the sampler's thread empties. All else happens there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from inferprint.errors import BudgetExceeded, ConfigError, InferprintError
from inferprint.records import Outcome, Tokens
from inferprint.threads import ThreadCpu, this_thread
from inferprint.tokens import checked, checked_tokens
from inferprint.units import seconds

if TYPE_CHECKING:
    from types import TracebackType

    from inferprint._runtime import Tracker
    from inferprint.books import Account
    from inferprint.budget import Guard
    from inferprint.quote import Quote
    from inferprint.receipt import Receipt

# Starts and ends that may wait for the sampler. With more, which takes hundreds of thousands
# of requests a second, each request lets its thread have the interpreter before it starts.
MOST_WAITING = 500_000

NO_LABELS: Mapping[str, str] = {}

_current: ContextVar[Request | None] = ContextVar("inferprint_request", default=None)


def current() -> Request | None:
    """The request that runs in this context, or None."""
    return _current.get()


class as_current:  # noqa: N801 - it is used like a function
    """Makes a request the context's current one for the length of a ``with``."""

    __slots__ = ("_request", "_token")

    def __init__(self, request: Request) -> None:
        self._request = request

    def __enter__(self) -> None:
        self._token = _current.set(self._request)

    def __exit__(self, *_: object) -> None:
        with suppress(ValueError):
            _current.reset(self._token)


def own_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    """A copy of a user's labels, as texts.

    Raises:
        ConfigError: they are no mapping.
    """
    if not isinstance(labels, Mapping):
        raise ConfigError("labels", labels, "a mapping of texts, such as {'route': '/chat'}")
    return {str(name): str(value) for name, value in labels.items()}


def forget_current() -> None:
    """In the child of a fork: the request that forked is its parent's."""
    _current.set(None)


class Request:
    """One inference call, from start to end; made by ``Tracker.request``.

    It is a context manager, for ``with`` and ``async with``, and is entered once. An
    exception passes through unchanged and makes the outcome ``error``, or ``cancelled``
    where it is asyncio's cancellation, a generator's closing or a keyboard interrupt.
    """

    # Defaults on the class: a request sets only what it needs, which is what makes it cheap.
    _parent: Request | None = None
    _token: Token[Request | None] | None = None
    _started_ns: int = -1
    _ended_ns: int = -1
    _outcome: Outcome | None = None
    _input: int | None = None
    _cached_input: int | None = None
    _output: int | None = None
    _first_token_ns: int = -1
    # When it first told of output tokens, and of how many; whether it is to be looked at.
    _first_told: tuple[int, int] | None = None
    _told = False
    # When it told of them, where that is not just now; what else its receipt must say.
    _told_ns = 0
    _said: frozenset[str] = frozenset()
    tokens_unreadable: bool = False
    tokens_counted: bool = False
    _thread: ThreadCpu | None = None
    _cpu_started_ns: int | None = None
    _cpu_ended_ns: int | None = None
    # Output tokens that it will have at most, where that was told before it ran.
    _most: int | None = None
    # The devices that it runs on, where it named them.
    _devices: tuple[str, ...] | None = None
    # What it was expected to use, and what watches over its budget.
    _quote: Quote | None = None
    _guard: Guard | None = None
    _account: Account | None = None
    _settled = False
    _receipt: Receipt | None = None
    _id: str | None = None

    def __init__(self, tracker: Tracker, model: str, labels: Mapping[str, str]) -> None:
        self._tracker = tracker
        self._model = model
        self._labels = labels

    # ---- what it is ----------------------------------------------------------------------

    @property
    def request_id(self) -> str:
        """Unique, also across processes."""
        if self._id is None:  # one step, as another thread may ask for it at the same time
            self.__dict__.setdefault("_id", self._tracker.new_id())
        return self._id  # type: ignore[return-value]

    @property
    def model(self) -> str:
        """The model's name as given."""
        return self._model

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels as given."""
        return self._labels

    @property
    def tokens(self) -> Tokens:
        """The tokens told so far."""
        return Tokens(self._input, self._cached_input, self._output)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        return self._outcome

    @property
    def time_to_first_token_s(self) -> float | None:
        """Seconds from its start to the first output token; None: none was told."""
        if self._first_token_ns < 0 or self._started_ns < 0:
            return None
        return seconds(self._first_token_ns - self._started_ns)

    # ---- while it runs -------------------------------------------------------------------

    def add_tokens(
        self,
        *,
        input: int | None = None,  # noqa: A002 - the public name
        cached_input: int | None = None,
        output: int | None = None,
    ) -> None:
        """Tells of tokens, as often as wanted; counts are added to those told before.

        Args:
            input: prompt tokens, the cached ones included.
            cached_input: the part of them that came from a cache.
            output: generated tokens. The first ones told set the time to first token.

        Raises:
            TokenError: a count is negative or not a whole number.
        """
        prompt = None
        if input is not None or cached_input is not None:
            prompt = checked_tokens(Tokens(input, cached_input))
        if output is not None:
            if type(output) is not int or output < 0:
                output = checked("output", output)
            if self._output is None:
                self._output = output
            else:
                self._output += output
            if self._first_told is None and output:
                self._tell_first(output)
        if prompt is not None:
            self._input = _sum(self._input, prompt.input)
            self._cached_input = _sum(self._cached_input, prompt.cached_input)
        if not self._told:
            self._told = True
            self._tracker.told(self)

    def set_tokens(self, tokens: Tokens) -> None:
        """Sets the counts that are told, in place of what was added before.

        Raises:
            TokenError: a count is negative or not a whole number.
        """
        tokens = checked_tokens(tokens)
        if tokens.input is not None:
            self._input = tokens.input
        if tokens.cached_input is not None:
            self._cached_input = tokens.cached_input
        if tokens.output is not None:
            self._output = tokens.output
        if not self._told:
            self._told = True
            self._tracker.told(self)

    def first_token(self) -> None:
        """The first output token, or piece of a stream, came now, if none came before and
        the request is running.
        """
        if self._first_token_ns < 0 and self._started_ns >= 0 > self._ended_ns:
            self._first_token_ns = self._tracker.now_ns()

    def _tell_first(self, output: int) -> None:
        if self._started_ns >= 0 > self._ended_ns:
            self.first_token()
            self._first_told = self._tracker.now_ns(), output

    def tokens_failed(self, error: Exception) -> None:
        """Its tokens could not be read from its result; its receipt will say so."""
        self.tokens_unreadable = True
        self._tracker.fault("tokens", error)

    # ---- start and end -------------------------------------------------------------------

    def __enter__(self) -> Request:
        # With an event loop in this thread, others may run between here and the end.
        self._begin(owns_thread=self._tracker.reads_cpu and not _in_event_loop())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end("ok" if error is None else outcome_of(error))

    async def __aenter__(self) -> Request:
        self._begin(owns_thread=False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end("ok" if error is None else outcome_of(error))

    def _begin(self, owns_thread: bool, detached: bool = False) -> None:
        """Starts it; ``detached``, without making it the context's current request."""
        if self._started_ns >= 0:
            raise InferprintError("a request is entered once: make another for another call")
        tracker = self._tracker
        if not tracker.running:
            tracker.revive()
        if len(tracker.events) > MOST_WAITING:
            time.sleep(0)
        self._parent = _current.get()
        if not detached:
            self._token = _current.set(self)
        now_ns = self._started_ns = tracker.now_ns()
        if tracker.context_labels:
            for around in tracker.context_labels:
                self._labels = {**around(), **self._labels}
        if owns_thread and tracker.reads_cpu:
            self._thread = this_thread()
            self._cpu_started_ns = self._thread.enter(self, self._parent, now_ns)
        tracker.tell(self)

    def _end(self, outcome: Outcome) -> None:
        tracker = self._tracker
        self._outcome = outcome
        now_ns = tracker.now_ns()
        if self._thread is not None:
            self._cpu_ended_ns = self._thread.leave(self, now_ns)
        self._ended_ns = now_ns
        tracker.tell(self)
        if self._token is not None:
            try:
                _current.reset(self._token)
            except ValueError:  # it ends in another context than the one it was started in
                return
            finally:
                self._token = None

    # ---- what it used --------------------------------------------------------------------

    def estimate(self) -> Receipt:
        """A provisional receipt, at once: what is settled so far and the last known power
        for the rest, flagged ``provisional``; once settled, the settled one.
        """
        return self._tracker.estimate(self)

    def receipt(self, timeout: float = 2.0) -> Receipt:
        """The settled receipt.

        Args:
            timeout: seconds to wait for it. A receipt settles within 250 ms of the end.

        Raises:
            NotSettled: it was not settled in time.
        """
        return self._tracker.receipt(self, timeout)

    async def settled(self, timeout: float = 2.0) -> Receipt:
        """The settled receipt, awaited; arguments and errors as for ``receipt``."""
        return await self._tracker.settled(self, timeout)


def _sum(before: int | None, count: int | None) -> int | None:
    return before if count is None else (before or 0) + count


def outcome_of(error: BaseException) -> Outcome:
    """How a request that was left by this exception ended."""
    if isinstance(error, GeneratorExit | KeyboardInterrupt | BudgetExceeded):
        return "cancelled"
    asyncio = sys.modules.get("asyncio")  # imported only where it is used: it takes 60 ms
    cancelled = asyncio is not None and isinstance(error, asyncio.CancelledError)
    return "cancelled" if cancelled else "error"


def _in_event_loop() -> bool:
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None
