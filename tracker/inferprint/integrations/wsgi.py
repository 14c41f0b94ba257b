"""WSGI middleware: each request of one's own application is measured, and its reply says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from inferprint.integrations._middleware import REQUEST_ID, Middleware
from inferprint.records import Outcome
from inferprint.request import Request, as_current, outcome_of

__all__ = ["FootprintMiddleware"]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
App: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class FootprintMiddleware(Middleware[App]):
    """Measures the requests of a WSGI application, each until the last part of its reply.

    In a view, ``inferprint.current()`` is the request, to be told of tokens. Every reply gets
    ``x-inferprint-request-id``; what it used is known only after its head was sent. A status of
    500 or more makes the outcome ``error``.

    Args:
        app: the application.
        model: the model's name.
        paths: the beginnings of the paths that are measured; empty: all.
        tracker: measures them; None: the process-wide one.
    """

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves one request."""
        request = self._request(environ.get("PATH_INFO", ""))
        if request is None:
            return self._app(environ, start_response)
        return _Reply(request, self._app, environ, start_response)


class _Reply:
    """The parts of a reply; the application runs as its request, and the server does not."""

    def __init__(
        self, request: Request, app: App, environ: Environ, start_response: StartResponse
    ) -> None:
        self._request = request
        self._start_response = start_response
        self._failed = False
        request._begin(owns_thread=False, detached=True)
        try:
            with as_current(request):
                self._parts = app(environ, self._start)
                self._rest: Iterator[bytes] = iter(self._parts)
        except BaseException as error:
            request._end(outcome_of(error))
            raise

    def _start(
        self, status: str, headers: list[tuple[str, str]], *rest: Any
    ) -> Callable[[bytes], object]:
        self._failed = status[:1] == "5"
        return self._start_response(
            status, [*headers, (REQUEST_ID, self._request.request_id)], *rest
        )

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            with as_current(self._request):
                return next(self._rest)
        except StopIteration:
            self._finish("error" if self._failed else "ok")
            raise
        except BaseException as error:
            self._finish(outcome_of(error))
            raise

    def close(self) -> None:
        """The server is done with it; before its last part, the client has gone."""
        try:
            close = getattr(self._parts, "close", None)
            if close is not None:
                with as_current(self._request):
                    close()
        finally:
            self._finish("cancelled")

    def _finish(self, outcome: Outcome) -> None:
        if self._request.outcome is None:
            self._request._end(outcome)
