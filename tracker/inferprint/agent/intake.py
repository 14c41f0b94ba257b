"""Puts what workers tell into the order of time, and from there into the books.

A window may be split once all that happened in it was told. Each worker says up to which instant
it has told all: the watermark is the earliest of these, at most so long ago that a worker that is
held up holds up nobody else for long. What comes later than that counts from the present window.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from inferprint.agent.levels import Draw, News
from inferprint.agent.messages import END, START, TOKENS, Batch, Event
from inferprint.agent.peer import MOST_ENDED, MOST_OPEN, MOST_SETTLED, Peer, PeerRequest
from inferprint.agent.plain import factor_to_plain, settlement_to_plain
from inferprint.records import WEAKEST_FIRST, Balance
from inferprint.units import NS_PER_S

if TYPE_CHECKING:
    from inferprint._runtime import Tracker
    from inferprint.books import Books
    from inferprint.engine import Engine
    from inferprint.request import Request

LATE_WINDOWS: Final = 2
"""What comes up to so many windows late counts in its own window."""
FLOOR_NS: Final = 60 * NS_PER_S // 1000
"""Nothing is split sooner: a worker with nothing in flight looks for work every 40 ms."""
SILENT_NS: Final = NS_PER_S
"""A worker that was not heard of for so long is not waited for."""
MOST_WAITING: Final = 300_000
"""Events that wait for their windows; with more, no worker is listened to for a while."""

# Lost workers that are remembered.
MOST_KNOWN = 4096

_time_of = itemgetter(0)

Waiting = tuple[int, Peer, Event]


class Intake:
    """Between the workers' connections and the engine.

    Args:
        tracker: the agent's.
        engine: its engine.
        wake: called, from the engine's thread, when workers are to be sent something.
    """

    def __init__(self, tracker: Tracker, engine: Engine, wake: Callable[[], None]) -> None:
        self.peers: dict[int, Peer] = {}
        self.places: dict[str, int] = {}
        self.news: News | None = None
        self.balance = Balance({})
        self.count = engine.faults.count
        self._tracker, self._engine, self._wake = tracker, engine, wake
        self._late_ns = round(LATE_WINDOWS * tracker.config.sample_interval_s * NS_PER_S)
        self._arriving: list[Waiting] = []
        self._lock = threading.Lock()
        self._waiting: list[Waiting] = []
        self._released_ns = 0
        # Up to when workers that were lost had told all, by their prefix.
        self._known: dict[str, int] = {}

    # ---- from the connections' thread ------------------------------------------------------

    def take(self, peer: Peer, batch: Batch, now_ns: int) -> None:
        """Takes a batch of a worker; one that came before is left out."""
        peer.heard_ns = now_ns
        if batch.upto_ns <= peer.upto_ns and peer.cpu_ns is not None:
            self.count("agent", "replayed batch")
            return
        events = batch.events
        if events:
            with self._lock:
                peer.arrived += len(events)
                self._arriving += [(event[1], peer, event) for event in events]
        # After its events: whoever sees the mark has them.
        peer.upto_ns = batch.upto_ns
        for thread, clock_ns in batch.clocks:
            if thread in peer.threads:
                peer.threads[thread].clock_ns = clock_ns

    def lost(self, peer: Peer) -> None:
        """A worker is gone: what it has in flight ends when it was heard of last."""
        peer.closed = True
        with self._lock:
            self._arriving.append((peer.upto_ns, peer, _GONE))

    @property
    def full(self) -> bool:
        """Whether the engine is to catch up first."""
        return len(self._arriving) + len(self._waiting) > MOST_WAITING

    # ---- from the engine's thread ----------------------------------------------------------

    def release(self, now_ns: int) -> int:
        """Puts all up to the watermark into the engine's queues, and says where that is."""
        with self._lock:
            until_ns = self._watermark_ns(now_ns)
            arriving, self._arriving = self._arriving, []
        waiting = self._waiting
        if arriving:
            waiting += arriving
            waiting.sort(key=_time_of)
        end = bisect_right(waiting, until_ns, key=_time_of)
        before_ns, self._released_ns = self._released_ns, until_ns
        told = self._engine.told
        for at_ns, peer, event in waiting[:end]:
            if event[0] != TOKENS:
                self._tell(peer, event, max(0, before_ns - at_ns))
                continue
            peer.told += 1
            request = peer.open.get(event[2])
            if request is None:
                if event[2] not in peer.ended:
                    self.count("agent", "unknown request")
                continue
            request.hear(event)
            if not request._told:
                request._told = True
                told.append(request)
        del waiting[:end]
        return until_ns

    def _watermark_ns(self, now_ns: int) -> int:
        upto_ns = now_ns - FLOOR_NS
        for peer in self.peers.values():
            is_late = peer.busy and peer.upto_ns < upto_ns
            if is_late and now_ns - peer.heard_ns < SILENT_NS:
                upto_ns = peer.upto_ns
        return max(upto_ns, now_ns - self._late_ns, self._released_ns)

    def _tell(self, peer: Peer, event: Event, late_ns: int) -> None:
        if event is _GONE:
            self._end_all(peer)
            return
        peer.told += 1
        if event[0] == START:
            self._start(peer, event, late_ns)
        else:
            self._end(peer, event, late_ns)

    def _start(self, peer: Peer, start: Event, late_ns: int) -> None:
        number, resumed = start[2], start[-1]
        if number in peer.open or number in peer.ended:
            self.count("agent", "replayed start")
            return
        if len(peer.open) >= MOST_OPEN:
            self.count("agent", "too many requests")
            return
        if resumed:  # what it had before is in the books already
            start[1] = max(start[1], self._known.get(peer.prefix, 0))
        request = PeerRequest(self._tracker, peer, start)
        if late_ns and not resumed:
            request.shift_ns = late_ns
            request._started_ns += late_ns
            self._is_late(request)
        peer.open[number] = request
        self._engine.events.append(request)

    def _end(self, peer: Peer, told: Event, late_ns: int) -> None:
        number = told[2]
        request = peer.open.pop(number, None)
        if request is None:
            self.count("agent", "unknown request")
            self._post(peer, [number, None, None])
            return
        peer.ended[number] = None
        if len(peer.ended) > MOST_ENDED:
            del peer.ended[next(iter(peer.ended))]
        if late_ns:  # it lasts as long as it did, in the windows that are still open
            told[1] = min(told[1] + max(late_ns, request.shift_ns), self._released_ns)
            self._is_late(request)
        request.finish(told)
        self._engine.events.append(request)

    def _is_late(self, request: PeerRequest) -> None:
        request.late()
        self.count("agent", "late event")

    def _end_all(self, peer: Peer) -> None:
        """A worker was lost: its requests are cancelled at its last sign of life."""
        for request in [*peer.open.values()]:
            request.end("cancelled", max(peer.upto_ns, request._started_ns))
            self._engine.events.append(request)
        peer.open.clear()
        self._known[peer.prefix] = peer.upto_ns
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def settled(self, requests: Sequence[Request]) -> Iterator[None]:
        """Makes ready what workers are to be told of their requests."""
        for request in requests:
            if isinstance(request, PeerRequest) and not request.peer.closed:
                said, intensity = self._engine.settlement(request)
                children = [child.number for child in said.children]  # type: ignore[attr-defined]
                plain = settlement_to_plain(said, children, self.places)
                record = [request.number, plain, factor_to_plain(intensity)]
                self._post(request.peer, record)
            yield
        self._wake()

    def _post(self, peer: Peer, record: list[Any]) -> None:
        if len(peer.settled) < MOST_SETTLED:
            peer.settled.append(record)
        else:
            self.count("agent", "dropped settlement")

    def closed(self, books: Books) -> None:
        """Windows have closed: this is the load of now."""
        share_s, at_ns = books.share_s()
        draws = tuple(
            Draw(
                ledger.latest_busy_w,
                ledger.shared_idle_w,
                ledger.standing_due_j(at_ns, not books.running),
                WEAKEST_FIRST.index(ledger.provenance),
            )
            for ledger in books.ledgers.values()
        )
        self.news = News(at_ns, share_s, books.running, draws)
        self.balance = self._engine.balance()


# In the place of an event: its worker is gone.
_GONE: Event = [END, 0, 0]
