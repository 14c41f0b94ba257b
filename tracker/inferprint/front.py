"""What a tracker has before it, wherever the books are kept: the queues that requests tell, the
receipts of those that are settled, and who waits for them.

The books are kept in this process (``engine.Engine``) or by the host's agent
(``agent.link.Link``). One of them lives from a start to a stop, or to a fork: the child gets a
new one, because the threads are gone there and any lock may be held for ever.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from inferprint.clock import Clock, wall_s
from inferprint.delivery import Outbox
from inferprint.faults import Faults
from inferprint.receipt import Receipt
from inferprint.records import Balance, Status
from inferprint.request import Request
from inferprint.settlement import Settlement, receipt_of
from inferprint.units import seconds

if TYPE_CHECKING:
    from inferprint.factors import Factors
    from inferprint.impacts import Factor
    from inferprint.outlook import Outlook
    from inferprint.sources import PowerSource

# Receipts that are made before the exporters get them.
RECEIPTS_AT_ONCE = 500


class Front(ABC):
    """What requests tell and are told; what a tracker asks.

    Args:
        factors: what energy means.
        clock: what everything is stamped with.

    Attributes:
        faults: counts what goes wrong.
        reads_cpu: whether requests are to read the CPU clock of the thread that they own.
    """

    def __init__(self, factors: Factors, clock: Clock) -> None:
        self._clock = clock
        self.lock = threading.Condition(threading.RLock())
        self.events: deque[Request] = deque()
        # Requests that have told of tokens since they were last looked at.
        self.told: deque[Request] = deque()
        # Receipts of calls to models elsewhere, which the outboxes have not got yet.
        self.made: deque[Receipt] = deque()
        self.outboxes: list[Outbox] = []
        self.in_flight: Counter[str] = Counter()
        self.reads_cpu = False
        self.factors = factors
        self.faults = Faults()
        # Requests settled, and receipts with the outboxes, so far.
        self._settled = self._handed_over = 0
        self._callbacks: dict[Request, list[Callable[[], None]]] = {}
        self.id_prefix = os.urandom(6).hex()
        self._ids = count(1)

    # ---- what the tracker asks -------------------------------------------------------------

    @abstractmethod
    def start(self, prepare: Callable[[], None]) -> None:
        """Starts its thread, which first calls ``prepare``.

        Raises:
            RuntimeError: no more threads can be started.
        """

    @abstractmethod
    def open(self, find: Callable[[], Sequence[PowerSource] | None], on_steps: bool) -> None:
        """Begins to measure.

        Args:
            find: gives the sources, where they are read here; None: they could not be found.
            on_steps: waits for counters that step, so that their first windows begin there.

        Raises:
            ConfigError: a setting does not fit the devices; it goes on without it.
        """

    @abstractmethod
    def end(self, patience_s: float) -> bool:
        """Settles what has ended and ends the thread; whether it has ended."""

    @abstractmethod
    def sample(self, alone: bool) -> None:
        """Reads every source once and closes a window; ``alone``: there is no thread."""

    @abstractmethod
    def settle_all(self, timeout: float) -> bool:
        """Waits until every request that has ended by now is settled, and its receipt with
        the outboxes, as are those that were made without a request; whether it is.
        """

    @abstractmethod
    def give_up(self, ended_by_ns: int) -> None:
        """Settles the requests that had ended by then with what is known of them."""

    @abstractmethod
    def receipt(self, request: Request) -> Receipt:
        """The receipt of a settled request; made once, when it is first asked for."""

    @abstractmethod
    def estimate(self, request: Request) -> Receipt:
        """A provisional receipt of a request, or the settled one if there is one."""

    @abstractmethod
    def outlook(self) -> Outlook:
        """What a request that starts now would meet; nothing is waited for."""

    @abstractmethod
    def requests_in_flight(self) -> list[Request]:
        """The requests that have started and not ended, the oldest first."""

    @abstractmethod
    def balance(self) -> Balance:
        """The books of the devices, up to the last window of each."""

    @abstractmethod
    def status(self) -> Status:
        """What it says of itself."""

    @property
    @abstractmethod
    def has_learned(self) -> bool:
        """Whether there is something to save."""

    @abstractmethod
    def state(self) -> Mapping[str, Any]:
        """What was learned up to now, as plain values.

        Raises:
            InferprintError: it is learned elsewhere.
        """

    def abandon(self) -> None:  # noqa: B027 - most hold nothing that a child has to let go
        """In the child of a fork: lets go of what is the parent's."""

    # ---- requests --------------------------------------------------------------------------

    def new_id(self) -> str:
        """A request id that no process has given before."""
        return f"{self.id_prefix}-{next(self._ids):x}"

    def feedback(self, request_id: str, useful: bool) -> bool:
        """Tells the exporters whether a request was of use; whether one of them takes it."""
        takes = [box.feedback(request_id, useful) for box in self.outboxes]  # each is told
        return any(takes)

    def when_settled(self, request: Request, tell: Callable[[], None]) -> None:
        """Calls ``tell`` when the request is settled; from another thread, or at once."""
        with self.lock:
            if not request._settled:
                self._callbacks.setdefault(request, []).append(tell)
                return
        tell()

    def wait_for(self, reached: Callable[[], bool], timeout: float | None) -> bool:
        """Waits until a settlement has brought this about; whether it has.

        Args:
            reached: whether it has, asked after each settlement.
            timeout: seconds; None: for ever.
        """
        if not self.lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            return False
        try:
            return self.lock.wait_for(reached, timeout)
        finally:
            self.lock.release()

    def _receipt(
        self, request: Request, said: Settlement, intensity: Factor | None = None
    ) -> Receipt:
        """The receipt of a request, by what the books said of it and, where that changes, the
        carbon intensity of its hours.
        """
        now_ns = self._clock.now_ns()
        started_ns = request._started_ns if request._started_ns >= 0 else now_ns
        ended_ns = request._ended_ns if request._ended_ns >= 0 else now_ns
        started_at = datetime.fromtimestamp(wall_s(self._clock, started_ns), UTC)
        duration_s = seconds(ended_ns - started_ns)
        return receipt_of(request, said, started_at, duration_s, self.factors, intensity)

    def _told_settled(self, request: Request) -> None:
        for tell in self._callbacks.pop(request, ()):
            tell()

    def _hand_over(self, settled: Sequence[Request]) -> Iterator[None]:
        """Makes the receipts of settled requests, if anyone takes them; yields at each."""
        for start in range(0, len(settled) if self.outboxes else 0, RECEIPTS_AT_ONCE):
            receipts = []
            for request in settled[start : start + RECEIPTS_AT_ONCE]:
                receipts.append(self.receipt(request))
                yield
            for outbox in self.outboxes:
                outbox.put(receipts)
        if settled:
            with self.lock:
                self._handed_over += len(settled)
                self.lock.notify_all()

    def _hand_over_made(self) -> None:
        receipts = [*self.made]
        if receipts:
            for outbox in self.outboxes:
                outbox.put(receipts)
            with self.lock:
                for _ in receipts:  # after it was put: who waits for an empty queue has it all
                    self.made.popleft()
                self.lock.notify_all()
