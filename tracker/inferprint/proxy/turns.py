"""One exchange after the other: what comes at the same time leaves one by one."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Turns"]


class Turns:
    """Lets one through in each round of the event loop, in the order of their coming.

    What a round writes leaves at its end. Without turns, replies that come together all leave
    when the last of them is done, the clients ask again together, and so on: 64 clients of a
    server that takes 100 ms got 0.84 to 0.91 of the requests that they get one by one.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def mine(self) -> None:
        """Waits for its turn, which lasts until it next waits for anything."""
        loop = asyncio.get_running_loop()
        if self._taken:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True
            loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # its client may have gone
                turn.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._taken = False
