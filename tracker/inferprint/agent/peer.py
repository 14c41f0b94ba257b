"""One worker, as the agent sees it: who it is, its requests, what it has not been sent yet."""

from __future__ import annotations

import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from inferprint import flags
from inferprint.agent.frames import FrameReader
from inferprint.agent.messages import (
    COUNTED,
    MOST_CHARACTERS,
    OUTCOMES,
    UNREADABLE,
    Event,
)
from inferprint.request import NO_LABELS, Request

if TYPE_CHECKING:
    from inferprint._runtime import Tracker
    from inferprint.records import Outcome

MOST_OPEN: Final = 20_000
"""Requests that one worker may have in flight; more are not measured."""
MOST_UNSENT: Final = 1 << 20
"""Bytes that wait for a worker that does not read; what comes on top is dropped."""
MOST_SETTLED: Final = 10_000
"""Settlements that wait to be packed for a worker, likewise."""
# Threads of a worker that are told apart.
MOST_THREADS = 4096
# Numbers of requests that have ended, by which one that is told of again is known.
MOST_ENDED = 256

_CREDENTIALS = struct.Struct("3i")


class PeerThread:
    """A thread of a worker, by the CPU clock that the worker told last."""

    def __init__(self) -> None:
        self.clock_ns: int | None = None

    def cpu_ns(self) -> int | None:
        """Its CPU clock; None: it was not told."""
        return self.clock_ns


class PeerRequest(Request):
    """A request of a worker.

    Args:
        tracker: the agent's.
        peer: the worker.
        start: what was told of its start.
    """

    def __init__(self, tracker: Tracker, peer: Peer, start: Event) -> None:
        _, at_ns, number, model, labels, parent, thread, cpu_ns, most, *devices, _ = start
        super().__init__(tracker, cut(model), texts(labels) if labels else NO_LABELS)
        self.peer, self.number = peer, number
        # By how much its start was told too late.
        self.shift_ns = 0
        self._id = f"{peer.prefix}-{number:x}"
        self._started_ns = at_ns
        self._most = most
        if devices:
            self._devices = tuple(map(cut, devices[0]))
        if parent is not None:
            self._parent = peer.open.get(parent)
        if thread is not None and cpu_ns is not None:
            self._own(peer, thread, cpu_ns)

    def _own(self, peer: Peer, thread: int, cpu_ns: int) -> None:
        if thread not in peer.threads and len(peer.threads) >= MOST_THREADS:
            peer.threads.clear()
        self._thread = peer.threads.setdefault(thread, PeerThread())  # type: ignore[assignment]
        self._cpu_started_ns = cpu_ns

    def hear(self, told: Event) -> None:
        """Takes what it has told of its tokens."""
        _, self._told_ns, _, self._input, self._cached_input, self._output, first_ns, count = told
        if count and self._first_told is None and first_ns is not None:
            self._first_told = first_ns, count
            self._first_token_ns = first_ns

    def finish(self, told: Event) -> None:
        """Takes its end."""
        *tokens, outcome, first_token_ns, said, cpu_ns = told
        self.hear(tokens)
        self.end(OUTCOMES[outcome], tokens[1])
        if first_token_ns is not None:
            self._first_token_ns = first_token_ns
        if self._thread is not None:
            self._cpu_ended_ns = cpu_ns
        self.tokens_unreadable = bool(said & UNREADABLE)
        self.tokens_counted = bool(said & COUNTED)

    def end(self, outcome: Outcome, at_ns: int) -> None:
        """It ends."""
        self._outcome, self._ended_ns = outcome, at_ns

    def late(self) -> None:
        """It was told of so late that its windows had closed."""
        self._said |= {flags.TOLD_LATE}


def cut(text: str) -> str:
    """A text, no longer than texts of workers may be."""
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS]


def texts(labels: dict[str, str]) -> dict[str, str]:
    """Labels, likewise."""
    return {cut(name): cut(value) for name, value in labels.items()}


class Peer:
    """A connection of a worker.

    Args:
        sock: the connection.
        now_ns: when it came.

    Attributes:
        uid, pid: whose it is, as the kernel says.
        prefix: of its request ids; empty until it has greeted.
        upto_ns: the instant up to which it has told all.
        heard_ns: when it was heard of last.
        open: its requests in flight, by number.
        ended: numbers of the latest that have ended.
        threads: its threads that requests own, by id.
        settled: settlements that it has not been sent.
        unsent: bytes that it has not taken.
    """

    def __init__(self, sock: socket.socket, now_ns: int) -> None:
        self.sock = sock
        self.pid, self.uid, _ = credentials(sock)
        self.reader = FrameReader()
        self.prefix = ""
        self.came_ns = self.upto_ns = self.heard_ns = now_ns
        self.cpu_ns: int | None = None
        self.open: dict[int, PeerRequest] = {}
        self.ended: dict[int, None] = {}
        self.threads: dict[int, PeerThread] = {}
        self.settled: deque[list[Any]] = deque()
        self.unsent = bytearray()
        self.news_ns = 0
        # Events that have arrived and that the books were told of, each counted by one thread.
        self.arrived = self.told = 0
        self.closed = False

    @property
    def busy(self) -> bool:
        """Whether it has a request in flight, as far as was told."""
        return bool(self.open) or self.arrived != self.told


def credentials(sock: socket.socket) -> tuple[int, int, int]:
    """Pid, uid and gid of who is at the other end, as the kernel says (unix(7))."""
    said = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(said)
    return pid, uid, gid
