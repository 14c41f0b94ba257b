"""A connection whose client may not take for ever to say what it wants.

uvicorn waits without limit for the head of a request, and keeps all that comes of one.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

__all__ = ["protocol"]

MOST_HEAD_BYTES = 65_536


class _Protocol(HttpToolsProtocol):
    """Closes a connection on which no head comes within ``head_timeout_s``, from its beginning or
    from the first byte after a reply. Silence after a reply is uvicorn's to end.
    """

    head_timeout_s = 30.0

    _waiting: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(431)
        if self._waiting is None and self._is_idle:
            self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.head_timeout_s, self._refuse, 408)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _refuse(self, status: int) -> None:
        """Closes the connection; where a head has begun, and no reply to another, with a reply."""
        if self._in_head and self._is_idle and not self.transport.is_closing():
            ends = b"content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + ends)
        self.transport.close()


def protocol(head_timeout_s: float) -> type[asyncio.Protocol]:
    """The protocol with this timeout, for uvicorn.

    Args:
        head_timeout_s: seconds that a head may take.
    """
    return type("Protocol", (_Protocol,), {"head_timeout_s": head_timeout_s})
