"""CPU time of a server that is another process of this machine, with all that it has started."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psutil

from inferprint.sources.cpu_usage import CpuTimes, cpu_times
from inferprint.sources.tree_usage import TreeTimes

__all__ = ["ServerTimes", "listening_on"]

LOOK_S = 5.0
"""How often a server that is gone is looked for: a look at all sockets takes some milliseconds."""


def listening_on(port: int) -> Sequence[int]:
    """The processes that listen on a TCP port of this machine, those alone that none of them has
    started; of other users' processes the system tells nothing.
    """
    try:
        found = {one.pid for one in psutil.net_connections("tcp") if _listens(one, port)}
    except (psutil.Error, OSError):
        return []
    # Of processes that share a socket, any one is named.
    return sorted({_first(pid, port) for pid in found if pid is not None})


def _listens(connection: Any, port: int) -> bool:
    return bool(connection.status == psutil.CONN_LISTEN and connection.laddr.port == port)


def _first(pid: int, port: int) -> int:
    """The process itself, or the one above it that was the first to listen on a port."""
    with suppress(psutil.Error):
        above = psutil.Process(pid).parent()
        if above is not None and any(_listens(one, port) for one in above.net_connections("tcp")):
            return _first(above.pid, port)
    return pid


class ServerTimes:
    """The host's CPU times, with ``own_s`` those of a server and of this process, which is in its
    path. A server that ends is looked for again, and ``own_s`` never falls.

    Args:
        find: gives the processes of the server.
        clock: seconds on the monotonic clock.
    """

    def __init__(
        self, find: Callable[[], Sequence[int]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._find, self._clock = find, clock
        self._trees: list[TreeTimes] = []
        self._ended_s = 0.0
        self._look_at_s = clock()
        self._look()

    @property
    def found(self) -> bool:
        """Whether the server was there when it was last looked for."""
        return bool(self._trees)

    def __call__(self) -> CpuTimes:
        """The times as they stand now."""
        times = cpu_times()
        return replace(times, own_s=times.own_s + self._server_s())

    def _server_s(self) -> float:
        if not all(tree.runs for tree in self._trees) or not self._trees:
            self._look()
        return self._ended_s + sum(tree.own_s() for tree in self._trees)

    def _look(self) -> None:
        now_s = self._clock()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_S
        self._ended_s += sum(tree.own_s() for tree in self._trees)
        self._trees = [TreeTimes(pid=pid) for pid in self._find()]
        # What they took before they were found is not of any request here.
        self._ended_s -= sum(tree.own_s() for tree in self._trees)
