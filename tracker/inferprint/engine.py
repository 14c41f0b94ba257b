"""What runs where the devices are read: the queue of requests, the books, their settlement."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from inferprint import flags, telling
from inferprint._config import Config
from inferprint.attribution import Ledger
from inferprint.books import Account, Books
from inferprint.budget import Guard
from inferprint.calibration import calibrations, check_devices
from inferprint.clock import Clock, wall_s
from inferprint.device_names import Naming
from inferprint.factors import Factors, equipped
from inferprint.front import Front
from inferprint.hours import Hours
from inferprint.impacts import Factor
from inferprint.intensity import Constant, Intensity, Known
from inferprint.learning.hearing import Hearing
from inferprint.ledgers import learned_of, ledger_of
from inferprint.meters import Meters
from inferprint.outlook import Outlook
from inferprint.quoting import Quoting
from inferprint.receipt import Receipt
from inferprint.records import Balance, Status
from inferprint.request import Request
from inferprint.sampler import Sampler
from inferprint.saved import Saved, from_plain, to_plain
from inferprint.settlement import Settlement, provisional, settlement
from inferprint.sources import PowerSource
from inferprint.units import NS_PER_S
from inferprint.windows import NO_FLAGS, Window

if TYPE_CHECKING:
    from inferprint.peers import Peers

# A request is settled without a device that gave no reading for this long after its end.
GIVE_UP_S = 1.0
# Events that may wait for a device that can't be read.
MOST_PENDING = 20_000
# Requests whose part of the work is done before others get the interpreter: half a
# millisecond's worth.
REQUESTS_AT_ONCE = 100
# For so long at most, the windows that have closed wait while there are no requests.
QUIET_NS = NS_PER_S // 2
# Starts and ends that a quote looks at; with more of them, one more or less does not matter.
MOST_LOOKED_AT = 1_000
# How soon windows are looked at again that wait for what other processes tell.
AGAIN_NS = NS_PER_S // 100
DONE = object()


class Engine(Front):
    """Turns what requests tell and what devices read into receipts and books.

    Args:
        config: the settings.
        factors: what energy means.
        clock: what everything is stamped with.
        learned: what ``state`` gave before; None: nothing.
        intensity: of the grid over time; None: that of the factors, at all times.
    """

    def __init__(
        self,
        config: Config,
        factors: Factors,
        clock: Clock,
        learned: Mapping[str, Any] | None = None,
        intensity: Intensity | None = None,
    ) -> None:
        super().__init__(factors, clock)
        self._open: dict[Request, None] = {}
        self.sampler = Sampler(
            clock,
            config.sample_interval_s,
            self._closes,
            self._work,
            calibrations(config.calibration),
            self.faults,
        )
        self.books = Books()
        self.meters = Meters()
        self._naming = Naming()
        # Where requests of other processes come from; None: there are none.
        self.peers: Peers | None = None
        self._config = config
        self._made_ns = clock.now_ns()
        self._opened = False
        self._learned = Saved() if learned is None else from_plain(learned)
        self._hearing = Hearing(self._learned.paces)
        changes = intensity is not None and not isinstance(intensity, Constant)
        self._hours: Hours | None = None
        if intensity is not None and changes:
            self._hours = Hours(intensity, partial(wall_s, clock), clock.now_ns())
        self.quoting = Quoting(self._learned.records)
        # Events drained so far.
        self._drained = 0
        # What every receipt must say.
        self._said = NO_FLAGS
        self._closing: deque[Window] = deque()
        self._job: Iterator[None] = iter(())
        # Requests in flight that have a budget.
        self._guarded: dict[Account, Guard] = {}

    def start(self, prepare: Callable[[], None]) -> None:
        """Starts the sampler's thread, which first calls ``prepare``."""
        self.sampler.start(prepare)

    def open(self, find: Callable[[], Sequence[PowerSource] | None], on_steps: bool) -> None:
        """Reads the sources for the first time, and opens the books of their devices."""
        sources = find()
        if not self.sampler.open(sources or (), on_steps) or sources is None:
            self._said = frozenset({flags.MISSING_READING})
        ledgers, meters = list[Ledger](), Meters(lambda: self.books.measured_j)
        for lane in self.sampler.lanes:
            for device in lane.devices:
                if device.component == "wall":
                    meters.add(device, begun=lane.begun)
                    continue
                first, saved = lane.last(device.id), self._learned.of(device)
                ledger = ledger_of(device, first, len(ledgers), self._config, saved)
                self.reads_cpu |= ledger.weights.owns_threads
                ledgers.append(ledger)
        devices = [ledger.device for ledger in ledgers]
        self.factors = equipped(self.factors, devices, self._config)
        with self.lock:
            self._naming = Naming(devices, partial(self.faults.fault, "devices"))
            self.meters, self.books, self._opened = meters, Books(ledgers), True
        check_devices(calibrations(self._config.calibration), self.books.ledgers)

    def end(self, patience_s: float) -> bool:
        """Settles what has ended, ends the thread and closes the sources; whether it has ended."""
        self.settle_all(patience_s)
        if not self.sampler.stop():
            return False
        self.take(self.sampler.read_now())
        self.give_up()
        self.sampler.close()
        return True

    def sample(self, alone: bool) -> None:
        """Reads every source once and closes a window; ``alone``: there is no thread."""
        self.take(self.sampler.read_now())
        if alone and self.sampler.missing:
            self.give_up()

    # ---- windows -------------------------------------------------------------------------

    def take(self, windows: Sequence[Window]) -> None:
        """Windows have closed: does all that they bring."""
        self._closing.extend(self.meters.after(windows))
        _exhaust(self._process(all_told=True))

    def give_up(self, ended_by_ns: int = sys.maxsize) -> None:
        """Settles the requests that had ended by then with what is known of them."""
        with self.lock:
            self.drain()
            self.books.give_up(ended_by_ns)
            settled = self._settle()
        _exhaust(self._hand_over(settled))

    def settle_all(self, timeout: float) -> bool:
        """Waits until all that has ended by now is settled and handed over; whether it is."""
        told, now_ns = self._drained + len(self.events), self._clock.now_ns()
        until_s = time.monotonic() + timeout
        in_time = self.wait_for(
            lambda: self._drained >= told and not self.books.unsettled_by(now_ns), timeout
        )
        settled = self._settled
        left_s = max(0.0, until_s - time.monotonic())
        return in_time and self.wait_for(
            lambda: self._handed_over >= settled and not self.made, left_s
        )

    def drain(self) -> None:
        """Tells the books what requests have done since the last time."""
        with self.lock:
            _exhaust(self._draining())

    def _closes(self, windows: Sequence[Window]) -> bool:
        """Windows have closed; whether to go on with them now. Those without requests are
        split several at a time: that takes a third of the time.
        """
        self._closing.extend(self.meters.after(windows))
        waits = self.events or self.books.busy or not self.books.begun
        if waits or self.peers is not None:
            return True
        oldest_ns = self._closing[0].end_ns if self._closing else sys.maxsize
        return self._clock.now_ns() - oldest_ns >= QUIET_NS

    def _work(self) -> bool:
        """Does a little of what the windows that have closed bring; whether there is more."""
        for _ in range(REQUESTS_AT_ONCE):
            if next(self._job, DONE) is DONE:
                self._job = self._process()
                return False
        return True

    def _process(self, all_told: bool = False) -> Iterator[None]:
        """Splits the windows that have closed, settles requests, hands receipts over;
        yields about once for every request.
        """
        until_ns = sys.maxsize
        if self.peers is not None:
            until_ns = self.peers.release(sys.maxsize if all_told else self._clock.now_ns())
        closed = bool(self._closing) and self._closing[0].end_ns <= until_ns
        yield from self._split(until_ns)
        with self.lock:
            yield from self._open_ledgers()
            # What no window has asked for: a device that can't be read closes none.
            interval_ns = round(self._config.sample_interval_s * NS_PER_S)
            now_ns = self._clock.now_ns()
            yield from self._draining(now_ns if all_told else now_ns - interval_ns)
            self.books.give_up(now_ns - self._patience_ns())
            self._bound_backlog()
            settled = self._settle()
            if closed:
                self.quoting.refresh(now_ns, self.books, self._hearing.paces)
                for account, guard in self._guarded.items():
                    guard.spent_j = self.books.earned_j(account)
                if self.peers is not None:
                    self.peers.closed(self.books)
            self.lock.notify_all()
        yield from self._hand_over(settled)
        self._hand_over_made()

    def _split(self, until_ns: int) -> Iterator[None]:
        """Splits the windows that have closed by then; the others are looked at again soon."""
        while self._closing and self._closing[0].end_ns <= until_ns:
            with self.lock:
                window = self._closing.popleft()
                if self.events or self.told or self._hearing.begun:
                    yield from self._draining(window.end_ns)
                yield from self._close(window)
                if self._hours is not None and not self._closing:
                    self._hours.note(window.end_ns, self.books)
                settled = self._settle()
            if settled:
                yield from self._hand_over(settled)
        if self._closing:
            self.sampler.again_ns = self._clock.now_ns() + AGAIN_NS

    def _close(self, window: Window) -> Iterator[None]:
        """Books a window of a device, or of a meter of the whole machine."""
        ledger = self.books.ledgers.get(window.device_id)
        if ledger is None:
            self.meters.close(window)
        else:
            yield from self.books.close(window, telling.cpu_clocks(ledger.owners))

    def _hand_over(self, settled: Sequence[Request]) -> Iterator[None]:
        if self.peers is not None:
            yield from self.peers.settled(settled)
        yield from super()._hand_over(settled)

    def _open_ledgers(self) -> Iterator[None]:
        """Begins the books of devices that have been read for the first time."""
        if self.books.begun:
            return
        for lane in self.sampler.lanes:
            for device in lane.devices:
                ledger = self.books.ledgers.get(device.id)
                read = lane.last(device.id) is not None
                if read and ledger is not None and ledger.state is None:
                    yield from self.books.open(device.id, lane.last_ns(device.id))

    def _patience_ns(self) -> int:
        return round(max(GIVE_UP_S, 3 * self._config.sample_interval_s) * NS_PER_S)

    def _bound_backlog(self) -> None:
        """A device that can't be read for long may not hoard the events of requests."""
        if self.books.held <= MOST_PENDING:
            return
        for lane in self.sampler.lanes:
            for device in lane.devices:
                if device.component != "wall" and self.books.backlog(device.id) > MOST_PENDING:
                    window = lane.abandon(device.id, self._clock.now_ns())
                    _exhaust(self.books.close(window))

    def outlook(self) -> Outlook:
        """What was known when the last windows closed, and the requests that have started and
        ended since.

        It takes no lock, and looks at a bounded number of them.
        """
        outlook = self.quoting.outlook
        told = self.events.copy() if len(self.events) <= MOST_LOOKED_AT else ()
        return outlook.beside(outlook.crowd.running + sum(map(telling.step, set(told))))

    @property
    def has_learned(self) -> bool:
        """Whether there is something to save."""
        return bool(self.quoting.records)

    def state(self) -> Mapping[str, Any]:
        """What was learned up to now, as plain values; learning goes on as if not asked."""
        with self.lock:
            present = [learned_of(ledger) for ledger in self.books.ledgers.values()]
            # A device that is not there now, or not yet, may be there the next time.
            absent = [
                one for one in self._learned.devices if one.device.id not in self.books.ledgers
            ]
            saved = Saved(
                [*present, *absent],
                dict(self._hearing.paces),
                self.quoting.records,
                self.quoting.outlook if self.quoting.outlook.devices else self._learned.outlook,
                self._config.idle_policy,
                datetime.now(UTC).isoformat(timespec="seconds"),
            )
            return to_plain(saved)

    # ---- requests ------------------------------------------------------------------------

    def requests_in_flight(self) -> list[Request]:
        """The requests that have started and not ended, the oldest first."""
        with self.lock:
            self.drain()
            return [*self._open]

    def balance(self) -> Balance:
        """The books of the devices, up to the last window of each."""
        with self.lock:
            return Balance(self.books.balance(), self.meters.balance())

    def status(self) -> Status:
        """What it says of itself."""
        with self.lock:
            self.drain()
            return Status(
                in_flight=dict(self.in_flight),
                source_errors=dict(self.faults.errors),
                dropped_receipts={box.exporter.name: box.dropped for box in self.outboxes},
                self_cpu_s=self.sampler.cpu_s + sum(box.cpu_s for box in self.outboxes),
                reading_age_s=self.sampler.ages_s(self._clock.now_ns()),
            )

    def _draining(self, until_ns: int = sys.maxsize) -> Iterator[None]:
        """Tells the books of starts and ends up to an instant; later ones can wait, as they
        take less room in the queue.
        """
        now_ns = self._clock.now_ns()
        yield from self._hear(now_ns)
        for _ in range(len(self.events) if self._opened else 0):
            request = self.events[0]
            account = request._account
            if (request._started_ns if account is None else request._ended_ns) > until_ns:
                break
            self.events.popleft()
            self._drained += 1
            if account is None:
                # Of before a fork, only the end is told here: it is the parent's request.
                if request._started_ns >= self._made_ns or self.peers is not None:
                    self._open_account(request)
            elif account.books is self.books and account.ended_ns is None:
                self._close_account(request, account)
            yield
        yield from self._hearing.advance(now_ns)

    def _hear(self, now_ns: int) -> Iterator[None]:
        """Looks at what requests in flight have told; starts and ends bring their own."""
        for _ in range(len(self.told)):
            request = self.told.popleft()
            request._told = False  # before it is looked at: what it tells meanwhile is not missed
            account = request._account
            if account is not None and account.books is self.books and request._ended_ns < 0:
                self._hearing.tell(account, telling.told(request), request._told_ns or now_ns)
            yield

    def _open_account(self, request: Request) -> None:
        parent = request._parent._account if request._parent is not None else None
        if parent is not None and parent.books is not self.books:
            parent = None  # it is of another tracker, or of before a fork
        account = Account(request, request._started_ns, parent, request.model)
        if request._devices is not None:
            self._place(account, request._devices)
        elif parent is not None:  # it is its parent's work
            account.places, account.unread = parent.places, parent.unread
        request._account = account
        self.in_flight[request.model] += 1
        self._open[request] = None
        if request._guard is not None:
            self._guarded[account] = request._guard
        if self._hours is not None:
            self._hours.start(account)
        cpu_ns = request._cpu_started_ns
        self.quoting.start(account, self.books)
        self.books.start(account, cpu_ns, telling.shared_clock(request, cpu_ns))
        told = telling.told(request)
        self._hearing.start(account, told)
        if told.output and request._ended_ns < 0:  # an end brings what was told by then
            self._hearing.tell(account, told, self._clock.now_ns())

    def _place(self, account: Account, names: tuple[str, ...]) -> None:
        """Puts a request on the devices that it names."""
        meant = self._naming.meant(names)
        account.unread = bool(meant.unknown)
        if len(meant.places) < len(self.books.ledgers):
            account.places = meant.places

    def _close_account(self, request: Request, account: Account) -> None:
        self.in_flight[request.model] -= 1
        self._open.pop(request, None)
        self._guarded.pop(account, None)
        if not self.in_flight[request.model]:
            del self.in_flight[request.model]
        cpu_ns = request._cpu_ended_ns
        self.books.end(account, request._ended_ns, cpu_ns, telling.shared_clock(request, cpu_ns))
        self._hearing.end(account, telling.told(request), request._ended_ns)

    # ---- settlement ----------------------------------------------------------------------

    def _settle(self) -> list[Request]:
        settled: list[Request] = []
        for account in self.books.settled():
            request = account.request
            request._settled = True
            if account.outlook is not None:
                self.quoting.settle(
                    account, telling.told(request), request._most, request._outcome == "ok"
                )
            if self._hours is not None and account.ended_ns is not None:
                earned = self.books.earned(account)
                account.intensity = self._hours.end(account, account.ended_ns, earned)
            # Nothing may hold itself in a circle: requests are freed without the collector.
            request._parent = account.request = None
            settled.append(request)
            self._told_settled(request)
        if settled:
            self._settled += len(settled)
            self.lock.notify_all()
        return settled

    def settlement(self, request: Request) -> tuple[Settlement, Factor | None]:
        """What the books said of a settled request, and the carbon intensity of its hours, where
        that changes.
        """
        assert request._account is not None
        said = settlement(request._account, self._config.idle_policy)
        return self._flagged(request, said, request._account.intensity)

    def receipt(self, request: Request) -> Receipt:
        """The receipt of a settled request; made once, when it is first asked for."""
        if request._receipt is None:
            request._receipt = self._receipt(request, *self.settlement(request))
        return request._receipt

    def estimate(self, request: Request) -> Receipt:
        """A provisional receipt of a request, or the settled one if there is one."""
        with self.lock:
            self.drain()
            if request._settled:
                return self.receipt(request)
            if request._account is None:
                nothing = Settlement((), NO_FLAGS, self._config.idle_policy, "none")
                return self._receipt(request, *self._flagged(request, nothing, None))
            until_ns = request._ended_ns if request._ended_ns >= 0 else self._clock.now_ns()
            said = provisional(request._account, self._config.idle_policy, until_ns)
            known = self._so_far(request._account, until_ns, said)
            return self._receipt(request, *self._flagged(request, said, known))

    def _so_far(self, account: Account, until_ns: int, said: Settlement) -> Known | None:
        if self._hours is None:
            return None
        return self._hours.so_far(account, until_ns, [part.earned for part in said.parts])

    def _flagged(
        self, request: Request, said: Settlement, intensity: Known | None
    ) -> tuple[Settlement, Factor | None]:
        flagged = said.said | self._said | request._said
        if intensity is None:
            return said._replace(said=flagged), None
        return said._replace(said=flagged | intensity.flags), intensity.factor


def _exhaust(work: Iterator[None]) -> None:
    deque(work, maxlen=0)
