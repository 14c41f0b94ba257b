"""A receipt for every call of a model that is asked for many items at once.

::

    from inferprint.integrations.predict import per_item, track_predict

    classifier = track_predict(classifier)                       # scikit-learn's predict
    encoder = track_predict(encoder, method="encode")            # sentence-transformers' encode
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from inferprint.integrations._calls import Call, Calls
from inferprint.request import NO_LABELS

if TYPE_CHECKING:
    from inferprint._runtime import Tracker
    from inferprint.ranges import Range
    from inferprint.receipt import Receipt

__all__ = ["per_item", "track_predict"]

T = TypeVar("T")

ITEMS = "items"
"""The label that holds how many items a call was for."""


def track_predict(
    model: T,
    *,
    method: str = "predict",
    items: Callable[[Any], int] | None = None,
    name: str | None = None,
    tracker: Tracker | None = None,
    labels: Mapping[str, str] = NO_LABELS,
) -> T:
    """Tracks the calls of one of a model's methods, from now on.

    Args:
        model: what has the method.
        method: its name: ``predict``, ``predict_proba``, ``transform``, ``encode``.
        items: gets the method's first argument, and returns how many items it holds. None: its
            ``shape[0]`` or its length; one item, if it is a text or has neither.
        name: the model's name on receipts; None: its class.
        tracker: None: the process-wide one.
        labels: of every request; beside them a receipt has the label ``items``.

    Returns:
        The same model.

    Raises:
        TypeError: it has no such method.
    """
    called = getattr(model, method, None)
    if not callable(called):
        raise TypeError(f"model={model!r}: expected a model with a method {method}")
    calls = Calls("predict", tracker, labels)
    wrap = _async_method if inspect.iscoroutinefunction(called) else _method
    opener = _Opener(calls, name or type(model).__name__, items or _count, _first(called))
    # Past a class's own ``__setattr__``, which torch's modules have.
    vars(model)[method] = wrap(called, opener)
    return model


def per_item(receipt: Receipt) -> Range | None:
    """Joules an item of a call of ``track_predict``; None: not known."""
    total_j, count = receipt.energy.total_j, receipt.labels.get(ITEMS, "")
    if total_j is None or not count.isdecimal() or int(count) == 0:
        return None
    return total_j * (1 / int(count))


class _Opener:
    """Opens the request of a call, with its items counted."""

    def __init__(self, calls: Calls, name: str, items: Callable[[Any], int], argument: str) -> None:
        self._calls, self._name, self._items, self._argument = calls, name, items, argument

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], own: bool) -> Call:
        labels: Mapping[str, str] = NO_LABELS
        try:
            # Some take it by a name of before, too.
            named = self._argument if self._argument in kwargs else next(iter(kwargs), "")
            given = args[0] if args else kwargs[named]
            labels = {ITEMS: str(int(self._items(given)))}
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything
            self._calls.fault(error)
        return self._calls.open(self._name, labels, owns_thread=own)


def _method(method: Callable[..., Any], opened: _Opener) -> Callable[..., Any]:
    @functools.wraps(method)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        with opened(args, kwargs, own=True):
            return method(*args, **kwargs)

    return tracked


def _async_method(method: Callable[..., Any], opened: _Opener) -> Callable[..., Any]:
    @functools.wraps(method)
    async def tracked(*args: Any, **kwargs: Any) -> Any:
        with opened(args, kwargs, own=False):
            return await method(*args, **kwargs)

    return tracked


def _first(method: Callable[..., Any]) -> str:
    """The name of a method's first argument; empty where it does not tell."""
    try:
        return next(iter(inspect.signature(method).parameters), "")
    except (TypeError, ValueError):
        return ""


def _count(given: Any) -> int:
    shape = getattr(given, "shape", None)
    if shape:
        return int(shape[0])
    return 1 if isinstance(given, str | bytes) or not hasattr(given, "__len__") else len(given)
