"""The process-wide tracker, made and started on first use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Unpack

from inferprint._runtime import Tracker
from inferprint.request import NO_LABELS, Request
from inferprint.tracking import Expects, P, Planning, R, ReadTokens, decorator, named

if TYPE_CHECKING:
    from inferprint.budget import Budget, OnExceed
    from inferprint.device_names import DeviceName
    from inferprint.planned import Plan

_tracker: Tracker | None = None
_making = threading.Lock()


def get_tracker() -> Tracker:
    """The process-wide tracker; made from the environment's settings if there is none.

    Raises:
        ConfigError, SourceUnavailable, MissingExtra: as ``Tracker`` does.
    """
    global _tracker
    if _tracker is None:
        with _making:
            if _tracker is None:
                _tracker = Tracker()
    return _tracker


def set_tracker(tracker: Tracker | None) -> None:
    """Makes a tracker the process-wide one; None: a new one will be made on next use.

    The one before it is not stopped.
    """
    global _tracker
    _tracker = tracker


def track(
    *,
    model: str | None = None,
    tokens: ReadTokens | None = None,
    labels: Mapping[str, str] = NO_LABELS,
    budget: Budget | None = None,
    on_exceed: OnExceed = "raise",
    expects: Expects | None = None,
    devices: Iterable[DeviceName] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that measures every call, with the process-wide tracker.

    It takes a def, an async def, a generator or an async generator function. Exceptions
    pass through unchanged. A stream ends with its last item, its closing or its exception.

    Args:
        model: the model's name; None: the function's.
        tokens: gets the result, or every item of a stream, and returns its token counts:
            anything that ``inferprint.tokens`` describes, such as OpenAI's ``usage``. Of a
            stream, totals replace what was told before, and whole numbers add up.
        labels: what else to tell the requests by; on receipts, not in metrics.
        budget: what each call may use at most; checked as for ``Tracker.request``.
        on_exceed: what is done about a call that is over it; as for ``Tracker.request``.
        expects: gets the call's arguments, and returns what is expected of it, as a mapping:
            ``input_tokens``, ``cached_input_tokens``, and ``output_tokens`` or
            ``max_output_tokens``. Each call is then quoted.
        devices: those that the calls run on; as for ``Tracker.request``.

    Raises:
        ConfigError: a setting of the process-wide tracker is not usable, the labels are no
            mapping, or the budget is not one.
    """
    get_tracker()  # so that a bad setting is told here, and not under load
    planning = Planning(budget, on_exceed, expects, named(devices))
    return decorator(get_tracker, model, tokens, labels, planning)


def request(
    model: str = "", *, labels: Mapping[str, str] = NO_LABELS, **plan: Unpack[Plan]
) -> Request:
    """A request of the process-wide tracker; arguments as for ``Tracker.request``."""
    return get_tracker().request(model, labels=labels, **plan)


def _renew_lock() -> None:
    global _making
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
