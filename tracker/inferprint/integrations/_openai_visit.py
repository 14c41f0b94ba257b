"""A call of an ``openai`` client, followed to the end of its reply."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any

from inferprint.decode import footprint_in
from inferprint.integrations._calls import Call, Calls
from inferprint.receipt import Receipt
from inferprint.records import Outcome, Tokens
from inferprint.tokens import read_tokens

__all__ = ["Visit"]


class Visit:
    """One call, from its start to the end of its reply.

    Args:
        calls: of the client.
        model: its name.
        provider: who serves it elsewhere; None: it is measured here.
    """

    def __init__(self, calls: Calls, model: str, provider: str | None) -> None:
        self.call: Call | None = None
        self.receipt: Receipt | None = None
        self._calls, self._model, self._provider = calls, model, provider
        self._tokens = Tokens()
        self._began_s: float | None = time.monotonic()
        if provider is None:
            self.call = calls.open(model)

    def __enter__(self) -> Visit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """What the client raises is its end; what it returns may go on."""
        if error is not None:
            self.end(error)

    def item(self, item: object) -> None:
        """A chunk or an event of a stream."""
        if self.call is not None and _is_output(item):
            self.call.first_token()
        self._read(lambda: _usage(item))
        self._look(item)

    def returned(self, reply: Any) -> Any:
        """What the client returned; the same."""
        try:
            if hasattr(reply, "_iterator") and hasattr(reply, "response"):
                self._follow(reply)
            elif (response := getattr(reply, "http_response", None)) is not None:
                self._raw(response)
            else:
                self._read(lambda: _usage(reply))
                self._look(reply)
                self.end("ok")
        except Exception as error:  # noqa: BLE001 - the user's call goes on
            self._calls.fault(error)
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
                self._calls.fault(error)

    def end(self, outcome: Outcome | BaseException) -> None:
        """It ended so; nothing, if it has ended before."""
        if self.call is not None:
            self.call.end(outcome)
        elif self._began_s is not None:
            latency_s, self._began_s = time.monotonic() - self._began_s, None
            if outcome == "ok" and self.receipt is None:
                self._estimate(latency_s)

    def _estimate(self, latency_s: float) -> None:
        calls = self._calls
        try:
            self.receipt = calls.tracker.hosted(
                provider=str(self._provider),
                model=self._model,
                input_tokens=self._tokens.input,
                output_tokens=self._tokens.output,
                latency_s=latency_s,
                labels=calls.labels,
            )
        except Exception as error:  # noqa: BLE001 - the user's call goes on
            calls.fault(error)


class _Step:
    """The fetching of a stream's items, one after the other; its end is the visit's.

    Args:
        visit: whose stream it is.
    """

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        # While an item is fetched, the library closes what it has read to its end.
        self.stepping = False

    def __enter__(self) -> None:
        self.stepping = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stepping = False
        if isinstance(error, StopIteration | StopAsyncIteration):
            self._visit.end("ok")
        elif error is not None:
            self._visit.end(error)

    def __del__(self) -> None:
        self._visit.end("cancelled")


class _Items(_Step):
    """The items of a stream, as they are."""

    def __init__(self, items: Iterator[Any], visit: Visit) -> None:
        super().__init__(visit)
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self:
            item = next(self._items)
        self._visit.item(item)
        return item


class _AsyncItems(_Step):
    """The same of an async stream."""

    def __init__(self, items: AsyncIterator[Any], visit: Visit) -> None:
        super().__init__(visit)
        self._items = items

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        with self:
            item = await anext(self._items)
        self._visit.item(item)
        return item


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
