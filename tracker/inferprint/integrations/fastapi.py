"""A FastAPI dependency: a route that takes it is measured."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Response

from inferprint._default import get_tracker
from inferprint._runtime import Tracker
from inferprint.integrations._middleware import REQUEST_ID
from inferprint.request import Request

__all__ = ["Measured"]


class Measured:
    """A dependency that gives a route its request, to be told of tokens::

        @app.post("/ask")
        async def ask(request: Annotated[inferprint.Request, Depends(Measured("llama-3-8b"))]): ...

    The request ends with the route, or with the exception that it raises.

    Args:
        model: the model's name.
        tracker: measures it; None: the process-wide one.
    """

    def __init__(self, model: str = "", *, tracker: Tracker | None = None) -> None:
        self._model = model
        self._tracker = tracker

    async def __call__(self, response: Response) -> AsyncIterator[Request]:
        """Runs the route inside of a request."""
        async with (self._tracker or get_tracker()).request(self._model) as request:
            response.headers[REQUEST_ID] = request.request_id
            yield request
