"""The tracker: wires sources, sampler, books, receipts and exporters together."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from inferprint._config import Config
from inferprint.attribution import Ledger
from inferprint.books import Account, Books
from inferprint.clock import Clock, SystemClock
from inferprint.delivery import Exporter, Outbox, load_exporters
from inferprint.errors import ConfigError, InferprintError, NotSettled
from inferprint.factors import resolve
from inferprint.idle import IdlePower
from inferprint.receipt import Receipt
from inferprint.records import Balance, Device, Reading, Status
from inferprint.request import Request, forget_current
from inferprint.sampler import Sampler
from inferprint.settlement import Settlement, provisional, receipt_of, settlement
from inferprint.sources import PowerSource
from inferprint.standing import idle_policy
from inferprint.threads import renew_threads
from inferprint.tracking import P, R, ReadTokens, decorator
from inferprint.units import NS_PER_S, seconds
from inferprint.weights import ThreadCpuTime, TimeInFlight, Weights
from inferprint.windows import NO_FLAGS, Window

if TYPE_CHECKING:
    from types import TracebackType

    from inferprint.sources.findings import Finding

log = logging.getLogger("inferprint")

DONE = object()
NO_LABELS: Mapping[str, str] = {}
# A request is settled without a device that gave no reading for this long after its end.
GIVE_UP_S = 1.0
# Events that may wait for a device that can't be read.
MOST_PENDING = 20_000
# Threads of requests whose CPU clock is read at the end of a window.
MOST_OWNERS = 64
# Requests whose share of the work is done before others get the interpreter: half a
# millisecond's worth.
REQUESTS_AT_ONCE = 100
# How long a start waits for the first readings, and a stop for the last windows to close.
START_S = 10.0
STOP_S = 0.5


class Tracker:
    """Measures what requests use, from its start to its stop.

    It is a context manager. It can be started by several users and stops with the last.

    Args:
        config: the settings; None: from the environment and the defaults.
        sources: where joules come from; None: what this machine has.
        exporters: where receipts go, beside those that the settings name.
        clock: a clock that is moved by hand; then no thread runs, and ``sample`` is to be
            called. None: the system's clock and a thread.

    Raises:
        ConfigError: a setting is not usable.
        SourceUnavailable: a source that the settings name is not there.
        MissingExtra: an exporter that the settings name is not installed.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        sources: Sequence[PowerSource] | None = None,
        exporters: Iterable[Exporter] = (),
        clock: Clock | None = None,
    ) -> None:
        self.config = config or Config()
        self.factors = resolve(self.config)
        self.findings: Sequence[Finding] = ()
        self._given_exporters = list(exporters)
        self._exporters = [*load_exporters(self.config), *self._given_exporters]
        self._sources: Sequence[PowerSource] | None = None
        if sources is not None:
            self._sources = _checked_sources(sources)
        if self._sources is None and self.config.sources is not None:
            self._sources = self._detect()
        self._manual = clock is not None
        self._clock: Clock = clock or SystemClock()
        self.now_ns = self._clock.now_ns
        self._unknown = Settlement((), NO_FLAGS, self.config.idle_policy, "none")
        self._users = 0
        self._stopped = False
        self._renew()

    # ---- start and stop ------------------------------------------------------------------

    def start(self) -> Tracker:
        """Starts measuring, when this is the first user of it.

        Waits for the first readings, which takes milliseconds on most machines. Requests
        also start it, without waiting.

        Raises:
            InferprintError: it was stopped: make another.
            ConfigError: an exporter can't start, for a reason that it names.
        """
        if self._stopped:
            raise InferprintError("a tracker that was stopped can't start again: make another")
        self._users += 1
        self.revive()
        if not self._ready.wait(START_S):
            log.warning("the power sources have not answered for %g s: going on", START_S)
        if self._setup_error is not None:
            self.stop()
            raise self._setup_error
        return self

    def stop(self) -> None:
        """Stops measuring, when this is its last user: settles what has ended, hands it
        over, and ends the threads. Requests still go through after it, unmeasured.
        """
        self._users = max(0, self._users - 1)
        if self._users or self._stopped:
            return
        self._stopped = True
        if self.running:
            self._settle_all(0.0 if self._manual else STOP_S)
            self._sampler.stop()
            self._take(self._sampler.read_now())
            self._give_up()
        self.tell = _ignore
        for outbox in self._outboxes:
            outbox.close()
        self._sampler.close()
        _live.discard(self)

    def __enter__(self) -> Tracker:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def revive(self) -> None:
        """Starts measuring if it is not, without waiting and without ever raising: at the
        first request, or in the child of a fork.
        """
        with self._lock:
            if self.running or self._stopped:
                return
            self.running = True
            _live.add(self)
            if self._manual:
                self._set_up()
                return
            try:
                self._sampler.start(self._set_up)
            except RuntimeError as error:
                self._sampler.fault("tracker", error)
                self._ready.set()

    def _after_fork(self) -> None:
        """In the child: the threads are gone and locks may be held for ever. It begins
        anew, with the next request; what was in flight is the parent's.
        """
        for exporter in self._given_exporters:
            renew = getattr(exporter, "after_fork", None)
            if renew is not None:
                renew()
        self._exporters = [*load_exporters(self.config), *self._given_exporters]
        self._renew()

    def _renew(self) -> None:
        """All that does not outlive a fork."""
        self.running: bool = False
        self.reads_cpu: bool = False
        self._lock = threading.Condition(threading.RLock())
        self._ready = threading.Event()
        self._setup_error: InferprintError | None = None
        self.events: deque[Request] = deque()
        self.tell: Callable[[Request], None] = self.events.append
        self._books = Books()
        self._closing: deque[Window] = deque()
        self._job: Iterator[None] = iter(())
        self._sampler = Sampler(
            self._clock, self.config.sample_interval_s, self._closing.extend, self._work
        )
        self._outboxes: list[Outbox] = []
        self._callbacks: dict[Request, list[Callable[[], None]]] = {}
        self._in_flight: Counter[str] = Counter()
        self._id_prefix = os.urandom(6).hex()
        self._ids = count(1)

    def _set_up(self) -> None:
        """Opens sources, books and exporters; in the sampler's thread, if there is one."""
        try:
            sources = self._detect() if self._sources is None else self._sources
            self._sampler.open(sources)
            with self._lock:
                self._open_books()
            for exporter in self._exporters:
                self._outboxes.append(Outbox(exporter, not self._manual, self._sampler.fault))
                exporter.start(self)
        except InferprintError as error:
            self._setup_error = error
            self._sampler.fault("tracker", error)
        except Exception as error:  # noqa: BLE001 - a request may be what started it
            self._sampler.fault("tracker", error)
        self._ready.set()

    def _detect(self) -> Sequence[PowerSource]:
        # Imported here: a tracker that is given its sources does not need what finds them.
        from inferprint.sources.detect import detect

        found = detect(self.config)
        self.findings = found.findings
        return found.sources

    def _open_books(self) -> None:
        config = self.config
        ledgers = []
        for lane in self._sampler.lanes:
            for device in lane.devices:
                weights = _weights(device, lane.last(device.id))
                self.reads_cpu |= weights.owns_threads
                idle = IdlePower(device, _idle_by_hand(config, device))
                policy = idle_policy(config.idle_policy, config.standing_horizon_s)
                ledgers.append(Ledger(device, idle, policy, weights, place=len(ledgers)))
        self._books = Books(ledgers)

    # ---- requests ------------------------------------------------------------------------

    def request(self, model: str = "", *, labels: Mapping[str, str] = NO_LABELS) -> Request:
        """A request, to be entered with ``with`` or ``async with``.

        Args:
            model: the model's name.
            labels: what else to tell it by; on receipts, not in metrics.
        """
        return Request(self, model if type(model) is str else str(model), labels)

    def track(
        self,
        *,
        model: str | None = None,
        tokens: ReadTokens | None = None,
        labels: Mapping[str, str] = NO_LABELS,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator like ``inferprint.track``, for this tracker."""
        return decorator(lambda: self, model, tokens, labels)

    def fault(self, where: str, error: BaseException) -> None:
        """Counts a fault that was kept from a request, and logs the first of its kind."""
        self._sampler.fault(where, error)

    def new_id(self) -> str:
        """A request id that no process has given before."""
        return f"{self._id_prefix}-{next(self._ids):x}"

    def estimate(self, request: Request) -> Receipt:
        """A provisional receipt of a request, or the settled one if there is one."""
        with self._lock:
            self._drain()
            if not request._settled and request._account is not None:
                ended_ns = request._ended_ns
                until_ns = ended_ns if ended_ns >= 0 else self.now_ns()
                said = provisional(request._account, self.config.idle_policy, until_ns)
                return self._receipt(request, said)
        if not request._settled:
            return self._receipt(request, self._unknown)
        return self._settled_receipt(request)

    def receipt(self, request: Request, timeout: float) -> Receipt:
        """The settled receipt of a request.

        Raises:
            NotSettled: it was not settled in ``timeout`` seconds.
        """
        if not request._settled and not self._manual:
            with self._lock:
                self._lock.wait_for(lambda: request._settled, timeout)
        if not request._settled:
            raise NotSettled(self._why_not_settled(request, timeout))
        return self._settled_receipt(request)

    async def settled(self, request: Request, timeout: float) -> Receipt:
        """The settled receipt of a request, awaited; errors as for ``receipt``."""
        import asyncio

        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def tell_loop() -> None:
            try:
                loop.call_soon_threadsafe(done.set)
            except RuntimeError:  # the loop was closed: nobody waits any more
                return

        with self._lock:
            if not request._settled:
                self._callbacks.setdefault(request, []).append(tell_loop)
            else:
                done.set()
        try:
            await asyncio.wait_for(done.wait(), timeout)
        except TimeoutError:
            raise NotSettled(self._why_not_settled(request, timeout)) from None
        return self.receipt(request, 0.0)

    def _why_not_settled(self, request: Request, timeout: float) -> str:
        if request.outcome is None:
            return f"request {request.request_id} has not ended"
        if self._manual:
            return f"request {request.request_id}: call sample() after its end"
        return f"request {request.request_id} was not settled within {timeout:g} s"

    def _settled_receipt(self, request: Request) -> Receipt:
        """The receipt of what was settled; made once, when it is first asked for."""
        if request._receipt is None:
            assert request._account is not None
            said = settlement(request._account, self.config.idle_policy)
            request._receipt = self._receipt(request, said)
        return request._receipt

    def _receipt(self, request: Request, said: Settlement) -> Receipt:
        now_ns = self.now_ns()
        started_ns = request._started_ns if request._started_ns >= 0 else now_ns
        ended_ns = request._ended_ns if request._ended_ns >= 0 else now_ns
        started_at = datetime.now(UTC) - timedelta(seconds=seconds(now_ns - started_ns))
        return receipt_of(request, said, started_at, seconds(ended_ns - started_ns), self.factors)

    # ---- windows and settlement ----------------------------------------------------------

    def sample(self) -> None:
        """Reads every source once and closes a window of every device; for a tracker with
        a clock of its own.
        """
        self.revive()
        self._take(self._sampler.read_now())
        if self._manual and self._sampler.missing:
            self._give_up()

    def flush(self, timeout: float = 2.0) -> bool:
        """Settles all requests that have ended, and hands them to the exporters.

        Args:
            timeout: seconds to wait for it. What is not settled then is settled with what
                is known of it.

        Returns:
            Whether all was settled and handed over in time.
        """
        if self._manual:
            self.sample()
        in_time = self._settle_all(timeout)
        self._give_up()
        handed_over = [outbox.flush(timeout) for outbox in self._outboxes]
        return in_time and all(handed_over)

    def balance(self) -> Balance:
        """The books of the devices, up to the last window of each."""
        with self._lock:
            return Balance(self._books.balance())

    def status(self) -> Status:
        """What the tracker says of itself."""
        with self._lock:
            self._drain()
            return Status(
                in_flight=dict(self._in_flight),
                source_errors=dict(self._sampler.errors),
                dropped_receipts={box.exporter.name: box.dropped for box in self._outboxes},
                self_cpu_s=self._sampler.cpu_s + sum(box.cpu_s for box in self._outboxes),
            )

    def _settle_all(self, timeout: float) -> bool:
        with self._lock:
            self._drain()
            return self._lock.wait_for(lambda: not self._books.unsettled, timeout)

    def _take(self, windows: Sequence[Window]) -> None:
        """Windows have closed: does all that they bring."""
        self._closing.extend(windows)
        for _ in self._process():
            pass

    def _work(self) -> bool:
        """Does a little of what the windows that have closed bring; whether there is more."""
        for _ in range(REQUESTS_AT_ONCE):
            if next(self._job, DONE) is DONE:
                self._job = self._process()
                return False
        return True

    def _process(self) -> Iterator[None]:
        """Splits the windows that have closed, settles requests, hands receipts over;
        yields about once for every request."""
        with self._lock:
            yield from self._draining()
            while self._closing:
                window = self._closing.popleft()
                owners = self._books.ledgers[window.device_id].owners
                yield from self._books.close(window, _cpu_clocks(owners))
            self._books.give_up(self.now_ns() - self._patience_ns())
            self._bound_backlog()
            settled = self._settle()
        yield from self._hand_over(settled)

    def _give_up(self) -> None:
        """Settles every request that has ended with what is known of it."""
        with self._lock:
            self._drain()
            self._books.give_up(self.now_ns())
            settled = self._settle()
        for _ in self._hand_over(settled):
            pass

    def _patience_ns(self) -> int:
        return round(max(GIVE_UP_S, 3 * self.config.sample_interval_s) * NS_PER_S)

    def _settle(self) -> list[Request]:
        settled: list[Request] = []
        for account in self._books.settled():
            request = account.request
            request._settled, request._parent = True, None
            settled.append(request)
            for tell in self._callbacks.pop(request, ()):
                tell()
        if settled:
            self._lock.notify_all()
        return settled

    def _hand_over(self, settled: Sequence[Request]) -> Iterator[None]:
        if not settled or not self._outboxes:
            return
        receipts = []
        for request in settled:
            receipts.append(self._settled_receipt(request))
            yield
        for outbox in self._outboxes:
            outbox.put(receipts)

    def _bound_backlog(self) -> None:
        """A device that can't be read for long may not hoard the events of requests."""
        for lane in self._sampler.lanes:
            for device in lane.devices:
                if self._books.backlog(device.id) > MOST_PENDING:
                    for _ in self._books.close(lane.abandon(device.id, self.now_ns())):
                        pass

    def _drain(self) -> None:
        """Tells the books what requests have done since the last time."""
        for _ in self._draining():
            pass

    def _draining(self) -> Iterator[None]:
        for _ in range(len(self.events)):
            request = self.events.popleft()
            account = request._account
            if account is None:
                self._open_account(request)
            elif account.books is self._books and account.ended_ns is None:
                self._close_account(request, account)
            yield

    def _open_account(self, request: Request) -> None:
        parent = request._parent._account if request._parent is not None else None
        if parent is not None and parent.books is not self._books:
            parent = None  # it is of another tracker, or of before a fork
        account = request._account = Account(request, request._started_ns, parent)
        self._in_flight[request.model] += 1
        cpu_ns = request._cpu_started_ns
        self._books.start(account, cpu_ns, _shared_clock(request, cpu_ns))

    def _close_account(self, request: Request, account: Account) -> None:
        self._in_flight[request.model] -= 1
        cpu_ns = request._cpu_ended_ns
        self._books.end(account, request._ended_ns, cpu_ns, _shared_clock(request, cpu_ns))


_live: weakref.WeakSet[Tracker] = weakref.WeakSet()


def _stop_all() -> None:
    for tracker in list(_live):
        tracker._users = 0
        tracker.stop()


def _renew_all() -> None:
    renew_threads()
    forget_current()
    for tracker in list(_live):
        tracker._after_fork()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


def _ignore(_request: Request) -> None:
    """What a stopped tracker does with what requests tell."""


def _checked_sources(sources: Sequence[PowerSource]) -> list[PowerSource]:
    for source in sources:
        if not isinstance(source, PowerSource):
            expected = "objects with devices(), read() and close() (inferprint.PowerSource)"
            raise ConfigError("sources", source, expected)
    return list(sources)


def _weights(device: Device, reading: Reading | None) -> Weights:
    cpu = device.component != "gpu" and reading is not None and reading.own_s is not None
    return ThreadCpuTime() if cpu else TimeInFlight()


def _idle_by_hand(config: Config, device: Device) -> float | None:
    return {"gpu": config.gpu_idle_w, "cpu": config.cpu_idle_w}.get(device.component)


def _cpu_clocks(owners: Sequence[Account]) -> dict[Account, int]:
    clocks = {}
    for account in owners[:MOST_OWNERS]:
        clock_ns = account.request._thread.cpu_ns()
        if clock_ns is not None:
            clocks[account] = clock_ns
    return clocks


def _shared_clock(request: Request, cpu_ns: int | None) -> int | None:
    """The clock as its parent's too, if both own the same thread."""
    parent = request._parent
    return cpu_ns if parent is not None and parent._thread is request._thread else None
