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
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from inferprint.decode import footprint_in
from inferprint.integrations._calls import Call, Calls, imported
from inferprint.receipt import Receipt
from inferprint.records import Outcome, Tokens
from inferprint.request import NO_LABELS
from inferprint.tokens import read_tokens

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
_visits: dict[int, _Visit] = {}
_lock = threading.Lock()


class _Door:
    """What all calls of a client have in common."""

    def __init__(self, calls: Calls, provider: str | None) -> None:
        self.calls, self.provider = calls, provider

    def open(self, options: Any) -> _Visit | None:
        """A call that begins; None for one that runs no model."""
        try:
            if not str(options.url).rstrip("/").endswith(ENDPOINTS):
                return None
            body = options.json_data
            return _Visit(self, str(body.get("model", "") if isinstance(body, Mapping) else ""))
        except Exception as error:  # noqa: BLE001 - the user's call goes on
            self.calls.fault(error)
            return None


class _Visit:
    """One call, from its start to the end of its reply."""

    def __init__(self, door: _Door, model: str) -> None:
        self.call: Call | None = None
        self.receipt: Receipt | None = None
        self._door, self._model = door, model
        self._tokens = Tokens()
        self._began_s: float | None = time.monotonic()
        if door.provider is None:
            self.call = door.calls.open(model)

    def item(self, item: object) -> None:
        """A chunk or an event of a stream."""
        if self.call is not None and _is_output(item):
            self.call.first_token()
        self._read(lambda: _usage(item))
        self._look(item)

    def returned(self, reply: Any) -> Any:
        """What the client returned; the same."""
        try:
            _remember(reply, self)
            if hasattr(reply, "_iterator") and hasattr(reply, "response"):
                self._follow(reply)
            elif (response := getattr(reply, "http_response", None)) is not None:
                self._raw(response)
            else:
                self._read(lambda: _usage(reply))
                self._look(reply)
                self.end("ok")
        except Exception as error:  # noqa: BLE001 - the user's call goes on
            self._door.calls.fault(error)
            self.end("ok")
        return reply

    def _follow(self, stream: Any) -> None:
        kind = _AsyncItems if hasattr(stream._iterator, "__anext__") else _Items
        items = stream._iterator = kind(stream._iterator, self)
        _on_close(stream.response, lambda: None if items.stepping else self.end("cancelled"))

    def _raw(self, response: Any) -> None:
        if response.is_closed:
            self._read(lambda: response.json().get("usage"))
            self.end("ok")
            return
        consumed: Callable[[], Outcome] = lambda: (  # noqa: E731 - it is asked when it is closed
            "ok" if response.is_stream_consumed else "cancelled"
        )
        _on_close(response, lambda: self.end(consumed()))

    def _read(self, find: Callable[[], object]) -> None:
        try:
            usage = find()
            found = read_tokens(usage) if usage is not None else None
            self._tokens = found or self._tokens
            if self.call is not None and found is not None:
                self.call.tell(lambda: found)
        except Exception as error:  # noqa: BLE001 - a server may answer anything
            if self.call is not None and self.call.request is not None:
                self.call.request.tokens_failed(error)

    def _look(self, item: object) -> None:
        """For a footprint of the server's own, where there is no meter of ours."""
        holder = getattr(item, "response", None) or item
        told = (_usage(item), getattr(holder, "energy", None), getattr(holder, "impact", None))
        if self.call is None and any(part is not None for part in told):
            try:
                self.receipt = footprint_in(holder) or self.receipt
            except Exception as error:  # noqa: BLE001 - a server may answer anything
                self._door.calls.fault(error)

    def end(self, outcome: Outcome | BaseException) -> None:
        """It ended so; nothing, if it has ended before."""
        if self.call is not None:
            self.call.end(outcome)
        elif self._began_s is not None:
            latency_s, self._began_s = time.monotonic() - self._began_s, None
            if outcome == "ok" and self.receipt is None:
                self._estimate(latency_s)

    def _estimate(self, latency_s: float) -> None:
        calls = self._door.calls
        try:
            self.receipt = calls.tracker.hosted(
                provider=str(self._door.provider),
                model=self._model,
                input_tokens=self._tokens.input,
                output_tokens=self._tokens.output,
                latency_s=latency_s,
                labels=calls.labels,
            )
        except Exception as error:  # noqa: BLE001 - the user's call goes on
            calls.fault(error)


class _Items:
    """The items of a stream, as they are."""

    def __init__(self, items: Iterator[Any], visit: _Visit) -> None:
        self._items, self._visit = items, visit
        # While an item is fetched, the library closes what it has read to its end.
        self.stepping = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.stepping = True
        try:
            item = next(self._items)
        except StopIteration:
            self._visit.end("ok")
            raise
        except BaseException as error:
            self._visit.end(error)
            raise
        finally:
            self.stepping = False
        self._visit.item(item)
        return item

    def __del__(self) -> None:
        self._visit.end("cancelled")


class _AsyncItems:
    """The same of an async stream."""

    def __init__(self, items: AsyncIterator[Any], visit: _Visit) -> None:
        self._items, self._visit = items, visit
        self.stepping = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self.stepping = True
        try:
            item = await anext(self._items)
        except StopAsyncIteration:
            self._visit.end("ok")
            raise
        except BaseException as error:
            self._visit.end(error)
            raise
        finally:
            self.stepping = False
        self._visit.item(item)
        return item

    def __del__(self) -> None:
        self._visit.end("cancelled")


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
        try:
            reply = request(cast_to, options, **kwargs)
        except BaseException as error:
            visit.end(error)
            raise
        return visit.returned(reply)

    return wrapper


def _async_request(request: Callable[..., Any], door: _Door) -> Callable[..., Any]:
    @functools.wraps(request)
    async def wrapper(cast_to: Any, options: Any, **kwargs: Any) -> Any:
        visit = door.open(options)
        if visit is None:
            return await request(cast_to, options, **kwargs)
        try:
            reply = await request(cast_to, options, **kwargs)
        except BaseException as error:
            visit.end(error)
            raise
        return visit.returned(reply)

    return wrapper


def _remember(reply: object, visit: _Visit) -> None:
    key = id(reply)
    with _lock:
        _visits[key] = visit
    weakref.finalize(reply, _visits.pop, key, None).atexit = False


def _on_close(response: Any, tell: Callable[[], object]) -> None:
    """Tells when an httpx response is closed, by whichever of its two methods."""
    close, aclose = response.close, response.aclose

    @functools.wraps(close)
    def closing() -> None:
        tell()
        close()

    @functools.wraps(aclose)
    async def aclosing() -> None:
        tell()
        await aclose()

    response.close, response.aclose = closing, aclosing


def _usage(reply: object) -> Any:
    """Of a reply, of a chunk, or of the reply in an event."""
    usage = getattr(reply, "usage", None)
    return usage if usage is not None else getattr(getattr(reply, "response", None), "usage", None)


def _is_output(item: object) -> bool:
    """Whether a stream's item has output, and does not only announce some."""
    return bool(getattr(item, "choices", None)) or str(getattr(item, "type", "")).endswith(".delta")
