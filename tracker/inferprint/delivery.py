"""Hands settled receipts to the exporters, none of which can hold up another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from inferprint.errors import ConfigError, InferprintError, MissingExtra
from inferprint.receipt import Receipt

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from inferprint._config import Config
    from inferprint._runtime import Tracker

__all__ = ["Exporter"]

GROUP = "inferprint.exporters"
# Receipts that wait for an exporter that is slow; what comes on top is dropped and counted.
MOST_WAITING = 20_000
# How long a stop waits for an exporter to take what waits for it and to close.
CLOSE_S = 2.0


@runtime_checkable
class Exporter(Protocol):
    """Where receipts go. Found by name in the entry point group ``inferprint.exporters``,
    whose entries are callables ``(Config) -> Exporter``, or passed to ``Tracker``.

    Each exporter is called from one thread, its own, one call at a time, so that one that is
    slow or hangs holds up no other. One that has a method ``after_fork`` is told in the child
    of a fork, before it is started there. One that has a method
    ``feedback(request_id: str, useful: bool)`` is told what ``Tracker.feedback`` is told.
    """

    name: str

    def start(self, tracker: Tracker) -> None:
        """The tracker starts. ``tracker.balance()`` and ``tracker.status()`` may be asked
        at any time from now on, from any thread.
        """
        ...

    def export(self, receipts: Sequence[Receipt]) -> None:
        """Takes settled receipts, in the order in which they were settled."""
        ...

    def close(self) -> None:
        """The tracker stops: no more receipts come. Called also when ``start`` raised."""
        ...


def load_exporters(config: Config) -> list[Exporter]:
    """New exporters of the names in ``config.exporters``.

    Raises:
        ConfigError: no installed package has an exporter of this name.
        MissingExtra: a package that the exporter needs is not installed.
    """
    if not config.exporters:
        return []
    from importlib.metadata import entry_points  # 50 ms, and for named exporters alone

    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    for name in config.exporters:
        if name not in found:
            known = " or ".join(map(repr, sorted(found)))
            raise ConfigError("exporters", name, f"names out of {known}")
    return [_load(found[name], config) for name in config.exporters]


def _load(entry: EntryPoint, config: Config) -> Exporter:
    try:
        make: Callable[[Config], Exporter] = entry.load()
    except ImportError as error:
        raise MissingExtra(f"the exporter {entry.name!r}", entry.name) from error
    return make(config)


class Outbox:
    """One exporter, the receipts that wait for it, and the thread that it is called from.

    Args:
        exporter: where they go.
        fault: told of what the exporter raises.
    """

    def __init__(self, exporter: Exporter, fault: Callable[[str, BaseException], None]) -> None:
        self.exporter = exporter
        self.dropped = 0
        self.cpu_s = 0.0
        self._fault = fault
        self._waiting: deque[Receipt] = deque()
        self._told: deque[tuple[str, bool]] = deque()
        self._changed = threading.Condition()
        self._busy = self._stopping = False
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def open(self, start: Callable[[], None], threaded: bool) -> None:
        """Starts the exporter.

        Args:
            start: what starts it.
            threaded: whether it has a thread; without one, ``put`` hands over at once.

        Raises:
            RuntimeError: no more threads can be started.
        """
        if not threaded:
            self._start(start)
            return
        name = f"inferprint-{self.exporter.name}"
        thread = threading.Thread(target=self._run, args=(start,), name=name, daemon=True)
        thread.start()
        self._thread = thread

    def started(self, timeout_s: float) -> InferprintError | None:
        """Waits for the exporter's start; what it raised, if that is for the user to mend."""
        self._started.wait(timeout_s)
        return self._error if isinstance(self._error, InferprintError) else None

    def put(self, receipts: Sequence[Receipt]) -> None:
        """Takes receipts for the exporter, and never waits for it."""
        if self._thread is None:
            self._hand_over(receipts)
            return
        with self._changed:
            room = max(0, MOST_WAITING - len(self._waiting))
            self._waiting.extend(receipts[:room])
            self.dropped += max(0, len(receipts) - room)
            self._changed.notify_all()

    def feedback(self, request_id: str, useful: bool) -> bool:
        """Tells the exporter, if it takes feedback; never waits for it. Whether it takes it."""
        if not hasattr(self.exporter, "feedback"):
            return False
        if self._thread is None:
            self._pass_on([(request_id, useful)])
            return True
        with self._changed:
            self._told.append((request_id, useful))
            if len(self._told) > MOST_WAITING:
                self._told.popleft()
            self._changed.notify_all()
        return True

    def flush(self, timeout_s: float) -> bool:
        """Waits until the exporter has all that was put; whether it has."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._is_waited_for or self._busy), timeout_s
            )

    def close(self) -> None:
        """Hands over what waits and closes the exporter; waits for it, but not for long."""
        if self._thread is None:
            self._guard(self.exporter.close)
            return
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(CLOSE_S)
        with self._changed:
            self.dropped += len(self._waiting)
            self._waiting.clear()

    def _run(self, start: Callable[[], None]) -> None:
        self._start(start)
        while True:
            receipts, told = self._next()
            if not receipts and not told:
                break
            if receipts:
                self._hand_over(receipts)
            self._pass_on(told)
            del receipts  # while it waits for the next it holds none
            self.cpu_s = time.thread_time()
        self._guard(self.exporter.close)

    def _start(self, start: Callable[[], None]) -> None:
        self._error = self._guard(start)
        self._started.set()

    @property
    def _is_waited_for(self) -> bool:
        return bool(self._waiting or self._told)

    def _next(self) -> tuple[Sequence[Receipt], Sequence[tuple[str, bool]]]:
        """Waits for receipts and feedback; none of either: it is to stop."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_waited_for or self._stopping)
            receipts = list(self._waiting)
            told = list(self._told)
            self._waiting.clear()
            self._told.clear()
            self._busy = bool(receipts or told)
            return receipts, told

    def _hand_over(self, receipts: Sequence[Receipt]) -> None:
        if self._guard(lambda: self.exporter.export(receipts)):
            with self._changed:
                self.dropped += len(receipts)

    def _pass_on(self, told: Sequence[tuple[str, bool]]) -> None:
        for request_id, useful in told:
            self._guard(partial(self.exporter.feedback, request_id, useful))  # type: ignore[attr-defined]

    def _guard(self, call: Callable[[], None]) -> Exception | None:
        """Calls the exporter; what it raises is counted, and goes no further."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - an exporter may raise anything
            self._fault(f"exporter {self.exporter.name}", error)
            return error
        return None
