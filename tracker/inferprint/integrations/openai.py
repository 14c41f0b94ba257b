"""A receipt for every call of an ``openai`` client.

::

    from inferprint.integrations.openai import receipt_of, track_client

    client = track_client(openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none"))
    reply = client.chat.completions.create(...)
    print(receipt_of(reply))

It sits at the client's one door, ``client.request``, so that all its methods go through it: plain,
streamed, parsed, raw, of clients made by ``with_options``, and those that are async. What the call
gives and raises, and when, is what it is without it.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from inferprint.integrations._calls import Calls, imported
from inferprint.integrations._openai_visit import Visit
from inferprint.receipt import Receipt
from inferprint.request import NO_LABELS

if TYPE_CHECKING:
    from inferprint._runtime import Tracker

__all__ = ["receipt_of", "track_client"]

T = TypeVar("T")

# Calls that run a model; others, such as of files, are none of ours.
ENDPOINTS = ("/chat/completions", "/completions", "/responses", "/embeddings")


def track_client(
    client: T,
    *,
    tracker: Tracker | None = None,
    provider: str | None = None,
    labels: Mapping[str, str] = NO_LABELS,
) -> T:
    """Tracks the calls of a client, from now on.

    Args:
        client: an ``openai.OpenAI``, ``AsyncOpenAI`` or one of Azure's.
        tracker: None: the process-wide one.
        provider: who serves the model on machines that are not measured here, as EcoLogits names
            it: calls then get receipts as of ``Tracker.hosted``, unless the reply tells of its own
            footprint. None: the server is on this machine, and calls are requests of the tracker.
        labels: of every call; on receipts, not in metrics.

    Returns:
        The same client.

    Raises:
        MissingExtra: the package openai is not installed.
        TypeError: it is no client of openai's.
    """
    openai = imported("openai", "inferprint.integrations.openai", "openai")
    if not isinstance(client, openai.OpenAI | openai.AsyncOpenAI):
        raise TypeError(f"client={client!r}: expected an openai.OpenAI or openai.AsyncOpenAI")
    door = _Door(Calls("openai", tracker, labels), provider)
    _install(client, door, isinstance(client, openai.AsyncOpenAI))
    return client


def receipt_of(reply: object, timeout: float = 2.0) -> Receipt | None:
    """The receipt of the call that gave a reply or a stream.

    Args:
        reply: what a tracked client's method returned.
        timeout: seconds to wait until it is settled.

    Returns:
        The receipt; of a provider whose reply tells of its own footprint, what that says. None for
        what no tracked client returned, and of a provider's stream that has not ended.

    Raises:
        NotSettled: it was not settled in time; a stream is not before it is read or closed.
    """
    with _lock:
        visit = _visits.get(id(reply))
    if visit is None:
        return None
    request = visit.call.request if visit.call is not None else None
    return visit.receipt if request is None else request.receipt(timeout)


# By the id of the reply, which removes its entry when it is freed: replies have no hash.
_visits: dict[int, Visit] = {}
_lock = threading.Lock()


class _Door:
    """What all calls of a client have in common."""

    def __init__(self, calls: Calls, provider: str | None) -> None:
        self.calls, self.provider = calls, provider

    def open(self, options: Any) -> Visit | None:
        """A call that begins; None for one that runs no model."""
        try:
            if not str(options.url).rstrip("/").endswith(ENDPOINTS):
                return None
            body = options.json_data
            model = body.get("model", "") if isinstance(body, Mapping) else ""
            return Visit(self.calls, str(model), self.provider)
        except Exception as error:  # noqa: BLE001 - the user's call goes on
            self.calls.fault(error)
            return None

    def returned(self, visit: Visit, reply: Any) -> Any:
        """What the client returned; the same."""
        try:
            _remember(reply, visit)
        except Exception as error:  # noqa: BLE001 - the user's call goes on
            self.calls.fault(error)
        return visit.returned(reply)


def _install(client: Any, door: _Door, is_async: bool) -> None:
    """Puts a door before a client's ``request``, and before those of the clients it makes."""
    request = client.request
    client.request = (_async_request if is_async else _request)(request, door)
    copy = client.copy

    @functools.wraps(copy)
    def copied(*args: Any, **kwargs: Any) -> Any:
        made = copy(*args, **kwargs)
        _install(made, door, is_async)
        return made

    client.copy = client.with_options = copied


def _request(request: Callable[..., Any], door: _Door) -> Callable[..., Any]:
    @functools.wraps(request)
    def wrapper(cast_to: Any, options: Any, **kwargs: Any) -> Any:
        visit = door.open(options)
        if visit is None:
            return request(cast_to, options, **kwargs)
        with visit:
            reply = request(cast_to, options, **kwargs)
        return door.returned(visit, reply)

    return wrapper


def _async_request(request: Callable[..., Any], door: _Door) -> Callable[..., Any]:
    @functools.wraps(request)
    async def wrapper(cast_to: Any, options: Any, **kwargs: Any) -> Any:
        visit = door.open(options)
        if visit is None:
            return await request(cast_to, options, **kwargs)
        with visit:
            reply = await request(cast_to, options, **kwargs)
        return door.returned(visit, reply)

    return wrapper


def _remember(reply: object, visit: Visit) -> None:
    key = id(reply)
    with _lock:
        _visits[key] = visit
    weakref.finalize(reply, _visits.pop, key, None).atexit = False
