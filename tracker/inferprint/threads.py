"""CPU time of the threads that requests own.

Reading a thread's CPU clock takes a system call of half a microsecond, so it is read at
most once a millisecond on a request's path: shorter requests share their process's CPU
time by time in flight.
"""

from __future__ import annotations

import threading
import time

FRESH_NS = 1_000_000


class ThreadCpu:
    """One thread, and the requests that own it now, each inside the one before it."""

    __slots__ = ("_owners", "_read_ns", "native_id")

    def __init__(self) -> None:
        self.native_id = threading.get_native_id()
        self._owners: list[object] = []
        self._read_ns = 0

    def enter(self, request: object, parent: object, now_ns: int) -> int | None:
        """A request starts in this thread.

        Args:
            request: the request.
            parent: the request that it runs inside, if any.
            now_ns: the time now, monotonic.

        Returns:
            The thread's CPU clock in nanoseconds; None: the request does not own the
            thread, because the clock was read just now, or because another does.
        """
        if self._owners:
            if self._owners[-1] is not parent:  # two take turns: neither's time can be told
                self._owners.clear()
                return None
        elif now_ns - self._read_ns < FRESH_NS:
            return None
        self._owners.append(request)
        self._read_ns = now_ns
        return time.thread_time_ns()

    def leave(self, request: object, now_ns: int) -> int | None:
        """The request ends; the clock again, if it is still the thread's owner."""
        if not self._owners or self._owners[-1] is not request:
            return None
        self._owners.pop()
        self._read_ns = now_ns
        return time.thread_time_ns()

    def cpu_ns(self) -> int | None:
        """The thread's CPU clock, read from another thread; None: it can't be (any more)."""
        try:
            with open(f"/proc/self/task/{self.native_id}/schedstat", encoding="ascii") as file:
                text = file.read()
        except OSError:  # the thread has ended, or this is not Linux
            return None
        return int(text.split()[0])


class _Local(threading.local):
    def __init__(self) -> None:
        self.thread = ThreadCpu()


_local = _Local()


def this_thread() -> ThreadCpu:
    """The calling thread."""
    return _local.thread


def renew_threads() -> None:
    """In the child of a fork: its thread has another id, and owns nothing."""
    _local.thread = ThreadCpu()
