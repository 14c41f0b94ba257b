"""A worker's connection to the agent: made again when it is lost, and never waited for."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from inferprint.agent.frames import BadFrame, FrameReader
from inferprint.errors import InferprintError
from inferprint.units import NS_PER_S

MOST_UNSENT: Final = 4 << 20
"""Bytes that wait for an agent that does not read."""
# Until it is tried again, after one that failed: longer each time.
FIRST_PAUSE_NS, LAST_PAUSE_NS = NS_PER_S // 10, NS_PER_S // 2
READ_BYTES = 1 << 16

_MENDS = {
    errno.ENOENT: "no agent listens there: start one with `inferprint agent --socket {path}`",
    errno.ECONNREFUSED: (
        "its agent is gone: start one again with `inferprint agent --socket {path}`"
    ),
    errno.EACCES: "this user may not connect: start the agent with --group, and join that group",
}


class AgentLost(InferprintError):
    """The host's agent can't be reached, or has refused this process."""


class Line:
    """The connection.

    Args:
        path: of the agent's socket.

    Attributes:
        lost: why the latest connection was lost or could not be made; None: it holds.
    """

    def __init__(self, path: str) -> None:
        self.lost: AgentLost | None = None
        self._path = path
        self._sock: socket.socket | None = None
        self._reader = FrameReader()
        self._unsent = bytearray()
        self._pause_ns, self._next_ns = FIRST_PAUSE_NS, 0

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._sock is not None

    @property
    def room(self) -> bool:
        """Whether more may be put."""
        return len(self._unsent) < MOST_UNSENT

    def connect(self, now_ns: int) -> bool:
        """Connects, if it is time to try; whether there is a new connection."""
        if self._sock is not None or now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, LAST_PAUSE_NS)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            why = _MENDS.get(error.errno or 0, str(error)).format(path=self._path)
            self.lost = AgentLost(f"agent={self._path!r}: {why}")
            return False
        self._sock, self._reader = sock, FrameReader()
        self._unsent.clear()
        return True

    def holds(self) -> None:
        """The agent has answered: the next loss is a new one."""
        self.lost, self._pause_ns = None, FIRST_PAUSE_NS

    def put(self, data: bytes) -> None:
        """Sends bytes, now or as soon as they are taken."""
        self._unsent += data
        self._flush()

    def hear(self, timeout_s: float) -> Iterator[Any]:
        """Waits for the agent, but not for long; the messages that have come."""
        if self._sock is None:
            return
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        if not poll.poll(1e3 * timeout_s):
            return
        self._flush()
        yield from self._read()

    def lose(self, why: str) -> None:
        """Gives the connection up."""
        self.lost = AgentLost(f"agent={self._path!r}: {why}")
        self.close()

    def close(self) -> None:
        """Closes it; it may be made again."""
        if self._sock is not None:
            with suppress(OSError):
                self._sock.close()
            self._sock = None

    def _flush(self) -> None:
        try:
            while self._unsent and self._sock is not None:
                del self._unsent[: self._sock.send(memoryview(self._unsent)[:READ_BYTES])]
        except BlockingIOError:
            return
        except OSError as error:
            self.lose(f"the connection was lost ({error})")

    def _read(self) -> Iterator[Any]:
        if self._sock is None:
            return
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            return self.lose(f"the connection was lost ({error})")
        if not data:
            return self.lose("the agent has closed the connection, or has ended")
        try:
            yield from self._reader.feed(data)
        except BadFrame as error:
            self.lose(str(error))
