"""Workers as the agent sees them, without what a worker does besides: sockets and frames."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Iterator
from typing import Any

from inferprint.agent.frames import frame
from inferprint.agent.messages import BATCH, END, HELLO, START, TOKENS, VERSION
from inferprint.units import NS_PER_S

TICK_S = 0.02


class Raw:
    """One connection that greets, and then tells what it is given."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self._upto_ns = time.monotonic_ns()
        self._number = 0
        hello = [HELLO, VERSION, os.urandom(6).hex(), self._upto_ns]
        self.sock.sendall(frame(hello))

    def tell(self, events: list[list[Any]]) -> None:
        self._upto_ns = max(self._upto_ns + 1, time.monotonic_ns())
        self.sock.sendall(frame([BATCH, self._upto_ns, self._upto_ns, events, []]))

    def start(self) -> list[Any]:
        self._number += 1
        now_ns = time.monotonic_ns()
        return [START, now_ns, self._number, "m", None, None, None, None, None, False]

    def tokens(self, number: int, output: int) -> list[Any]:
        now_ns = time.monotonic_ns()
        return [TOKENS, now_ns, number, 100, None, output, now_ns, 1]

    def end(self, number: int, output: int) -> list[Any]:
        now_ns = time.monotonic_ns()
        return [END, now_ns, number, 100, None, output, now_ns, 1, 0, now_ns, 0, None]

    def close(self) -> None:
        self.sock.close()


def streamed(raw: Raw, ticks: int, starts: int, tells: int) -> Iterator[int]:
    """At each tick so many requests start; each tells of tokens at each of the next ticks, so many
    times, and ends. Yields how many events were told.
    """
    running: list[list[int]] = []
    for _ in range(ticks + tells + 1):
        events, begun = [], []
        for _ in range(starts if ticks > 0 else 0):
            events.append(raw.start())
            begun.append(raw._number)
        ticks -= 1
        running.append(begun)
        for age, numbers in enumerate(reversed(running[-tells - 2 :])):
            if 0 < age <= tells:
                events += [raw.tokens(number, 4 * age) for number in numbers]
            elif age == tells + 1:
                events += [raw.end(number, 4 * tells) for number in numbers]
        raw.tell(events)
        yield len(events)


def drain(raws: list[Raw]) -> None:
    """Reads what the agent has sent, and drops it."""
    with selectors.DefaultSelector() as selector:
        for raw in raws:
            selector.register(raw.sock, selectors.EVENT_READ)
        while found := selector.select(0):
            for key, _ in found:
                key.fileobj.recv(1 << 20)  # type: ignore[union-attr]


def seconds_since(began_ns: int) -> float:
    return (time.monotonic_ns() - began_ns) / NS_PER_S
