"""What the middlewares of ASGI and WSGI have in common: what they measure, and by whom."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

from inferprint._default import get_tracker
from inferprint._runtime import Tracker
from inferprint.request import Request

__all__ = ["REQUEST_ID", "Middleware"]

REQUEST_ID = "x-inferprint-request-id"

App = TypeVar("App")


class Middleware(Generic[App]):
    """Measures the requests of an application.

    Args:
        app: the application.
        model: the model's name.
        paths: the beginnings of the paths that are measured; empty: all.
        tracker: measures them; None: the process-wide one.
    """

    def __init__(
        self,
        app: App,
        *,
        model: str = "",
        paths: Collection[str] = (),
        tracker: Tracker | None = None,
    ) -> None:
        self._app = app
        self._model = model
        self._paths = tuple(paths)
        self._tracker = tracker

    def _request(self, path: str) -> Request | None:
        """What measures a request to this path; None: nothing does."""
        if self._paths and not path.startswith(self._paths):
            return None
        return (self._tracker or get_tracker()).request(self._model)
