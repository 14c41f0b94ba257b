"""A worker's end of the socket: tells the host's agent of requests, and hears what they used.

Nothing waits for the agent. Requests put themselves on queues, as they do for an engine; one
thread empties them every few milliseconds, sends what they tell, and takes what comes back. While
the agent is not there requests go on, and are settled as unknown a moment after their end.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from inferprint import flags
from inferprint._config import visible_gpus
from inferprint.agent.estimates import provisional
from inferprint.agent.frames import BadFrame, frame
from inferprint.agent.levels import Draw, Levels, News
from inferprint.agent.line import Line
from inferprint.agent.messages import (
    ASK,
    BALANCE,
    BATCH,
    FEEDBACK,
    HELLO,
    NEWS,
    OUTLOOK,
    REFUSED,
    SETTLED,
    VERSION,
    WELCOME,
)
from inferprint.agent.plain import (
    balance_from_plain,
    device_from_plain,
    factor_from_plain,
    factors_from_plain,
    outlook_from_plain,
    settlement_from_plain,
)
from inferprint.agent.telling import Entry, end_of, start_of, tokens_of
from inferprint.clock import SystemClock
from inferprint.device_names import Naming, seen_from
from inferprint.errors import InferprintError
from inferprint.front import Front
from inferprint.outlook import NOTHING_KNOWN, Outlook
from inferprint.records import Balance, Device, IdlePolicyName, Status
from inferprint.settlement import Settlement
from inferprint.units import NS_PER_S, seconds

if TYPE_CHECKING:
    from inferprint._config import Config
    from inferprint.books import Account
    from inferprint.budget import Guard
    from inferprint.factors import Factors
    from inferprint.receipt import Receipt
    from inferprint.request import Request
    from inferprint.sources import PowerSource

THREAD_NAME = "inferprint-link"
TICK_S: Final = 0.02
"""What requests tell leaves this often."""
IDLE_TICK_S: Final = 0.04
"""And this often it is looked at whether there is anything, after a second without."""
OPEN_S: Final = 1.0
"""How long a start waits for the agent's greeting."""
ANSWER_S: Final = 0.5
"""How long a question of the books waits for the answer."""
LOST_NS: Final = 1500 * NS_PER_S // 1000
"""A request that the agent does not know is settled as unknown so long after its end: sooner
than a caller of ``receipt()`` stops waiting."""
SLOW_NS: Final = 5 * NS_PER_S
"""And one that it knows and says nothing of."""
ALIVE_NS: Final = NS_PER_S
"""It hears of a worker with nothing to tell this often."""
QUOTES_NS: Final = 60 * NS_PER_S
OUTLOOK_NS, RARE_OUTLOOK_NS = NS_PER_S, 10 * NS_PER_S
"""What is known of requests to come is asked for this often: for a minute after the last quote,
and else."""
MOST_HELD: Final = 100_000
"""Starts and ends that wait for an agent that does not read; with more it is given up."""
# Events of one frame, and threads whose CPU clock is told with it.
AT_ONCE = 500
MOST_OWNERS = 64


class Link(Front):
    """Stands where an engine would, and has the host's agent keep the books.

    Args:
        config: the settings.
        factors: what energy means until the agent says.
        path: of the agent's socket.
    """

    def __init__(self, config: Config, factors: Factors, path: str) -> None:
        clock = SystemClock()
        super().__init__(factors, clock)
        self._path, self._config = path, config
        self._line = Line(path)
        self._greeted = False
        self._idle_policy: IdlePolicyName = config.idle_policy
        self._devices: Sequence[Device] = ()
        self._naming = Naming()
        self._visible = visible_gpus()
        self._levels = Levels()
        self._beat_ns = 2 * round(TICK_S * NS_PER_S)
        # Two windows: what is told so late still counts in its own.
        self._late_ns = round(2 * config.sample_interval_s * NS_PER_S)
        self._made_ns = self._upto_ns = clock.now_ns()
        self._sent_ns = self._worked_ns = self._expired_ns = 0
        # Requests in flight, and those that have ended and are not settled, by number.
        self._open: dict[int, Request] = {}
        self._ended: dict[int, Request] = {}
        # Since when one is in flight.
        self._busy_ns = 0
        self._guarded: dict[int, Guard] = {}
        self._events: list[list[Any]] = []
        self._questions: set[int] = set()
        self._feedback: list[tuple[str, bool]] = []
        self._balance = Balance({})
        self._answers = 0
        self._outlook: Outlook = NOTHING_KNOWN
        self._quoted_ns = -QUOTES_NS
        self._outlook_ns = 0
        self._cpu_s = 0.0
        self._stopping = False
        self._thread: threading.Thread | None = None

    # ---- its thread ------------------------------------------------------------------------

    def start(self, prepare: Callable[[], None]) -> None:
        """Starts the thread, which first calls ``prepare``."""
        thread = threading.Thread(target=self._run, args=(prepare,), name=THREAD_NAME, daemon=True)
        thread.start()
        self._thread = thread

    def open(self, find: Callable[[], Sequence[PowerSource] | None], on_steps: bool) -> None:
        """Greets the agent; goes on without it where it does not answer."""
        until_ns = self._clock.now_ns() + round(OPEN_S * NS_PER_S)
        while not self._greeted and self._clock.now_ns() < until_ns and not self._stopping:
            self._turn()
            if self._line.lost is not None:
                break

    def end(self, patience_s: float) -> bool:
        """Settles what has ended and ends the thread; whether it has ended."""
        self.settle_all(patience_s)
        self._stopping = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(OPEN_S)
        self.give_up(sys.maxsize)
        self._line.close()
        return self._thread is None or not self._thread.is_alive()

    def abandon(self) -> None:
        """In the child of a fork: the connection is the parent's."""
        self._line.close()

    def _run(self, prepare: Callable[[], None]) -> None:
        prepare()
        while not self._stopping:
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - a fault of ours may not end the thread
                self.faults.fault("agent", error)
                time.sleep(TICK_S)
            self._cpu_s = time.thread_time()

    def _turn(self) -> None:
        """Sends what was told, and hears what came, for one tick."""
        now_ns = self._clock.now_ns()
        if self._line.connect(now_ns):
            self._greeted = False
            self._line.put(frame([HELLO, VERSION, self.id_prefix, now_ns]))
        self._send(now_ns)
        busy = now_ns - self._worked_ns < NS_PER_S
        until_ns = now_ns + round((TICK_S if busy else IDLE_TICK_S) * NS_PER_S)
        while (left_ns := until_ns - self._clock.now_ns()) > 0 and not self._stopping:
            if self._line.is_open:
                self._take([*self._line.hear(seconds(left_ns))])
            else:
                time.sleep(seconds(left_ns))
            self._look_at_line()
        self._expire(self._clock.now_ns())
        self._hand_over_made()

    def _look_at_line(self) -> None:
        lost = self._line.lost
        if lost is not None and (self._greeted or not self.faults.errors["agent", "AgentLost"]):
            self.faults.fault("agent", lost)
        if not self._line.is_open and self._greeted:
            self._greeted = False
            with self.lock:
                self._events.clear()
                for request in [*self._open.values(), *self._ended.values()]:
                    _entry(request).heard, _entry(request).lost = False, True

    # ---- what requests tell ----------------------------------------------------------------

    def drain(self) -> None:
        """Looks at what requests have told since the last time."""
        with self.lock:
            while self.told:
                request = self.told.popleft()
                request._told = False  # before it is looked at: nothing told meanwhile is missed
                entry = request._account
                if not isinstance(entry, Entry) or request._ended_ns >= 0:
                    continue  # its start, or its end, tells of them
                if entry.heard and entry.number in self._open:
                    self._events.append(tokens_of(request, entry.number, self._clock.now_ns()))
            while self.events:
                request = self.events.popleft()
                if request._account is None:
                    if request._started_ns >= self._made_ns:  # else it is the parent's, of a fork
                        self._starts(request)
                elif _entry(request).front is self:
                    self._ends(request, _entry(request))

    def _starts(self, request: Request) -> None:
        number = int(request.request_id.rpartition("-")[2], 16)
        if not self._open:
            self._busy_ns = request._started_ns
        level = self._levels.at(request._started_ns, len(self._open) + 1, self._busy_ns)
        entry = Entry(self, number, level)
        request._account = cast("Account", entry)
        self.in_flight[request.model] += 1
        self._open[number] = request
        parent = _entry_of(request._parent, self)
        if parent is not None:
            parent.child_starts(request._started_ns)
        if request._guard is not None:
            self._guarded[number] = request._guard
        if self._greeted:
            self._tell_start(request, entry, resumed=False)

    def _tell_start(self, request: Request, entry: Entry, resumed: bool) -> None:
        parent = _entry_of(request._parent, self)
        entry.heard = True
        number = None if parent is None else parent.number
        self._events.append(start_of(request, entry.number, number, self._names(request), resumed))

    def _names(self, request: Request) -> tuple[str, ...] | None:
        """Its devices for the agent, which sees more of them than this process may."""
        return seen_from(request._devices, self._visible)

    def _ends(self, request: Request, entry: Entry) -> None:
        if self._open.pop(entry.number, None) is None:
            return
        self._guarded.pop(entry.number, None)
        self.in_flight[request.model] -= 1
        if not self.in_flight[request.model]:
            del self.in_flight[request.model]
        self._ended[entry.number] = request
        parent = _entry_of(request._parent, self)
        if parent is not None:
            parent.child_ends(request._ended_ns, self._levels)
        if entry.heard:
            self._events.append(end_of(request, entry.number))

    # ---- sending ---------------------------------------------------------------------------

    def _send(self, now_ns: int) -> None:
        """Sends what is due; what an agent does not take is held back, but not for ever."""
        if self._line.is_open and not self._line.room:
            if len(self.events) > MOST_HELD:
                self._line.lose("it does not read what this process tells")
                self._look_at_line()
            return
        with self.lock:
            self.drain()
            events, self._events = self._events, []
        if not self._greeted:
            return
        quiet_ns = now_ns - self._sent_ns
        if events or quiet_ns >= (self._beat_ns if self._open else ALIVE_NS):
            self._sent_ns = now_ns
            self._worked_ns = now_ns if events or self._open else self._worked_ns
            self._put_batches(events, now_ns)
        self._put_questions(now_ns)

    def _put_batches(self, events: list[list[Any]], now_ns: int) -> None:
        parts = [events[i : i + AT_ONCE] for i in range(0, len(events), AT_ONCE)] or [[]]
        clocks, cpu_ns = self._clocks(), time.process_time_ns()
        for number, part in enumerate(parts):
            # Each later than the one before, and the last one now.
            self._upto_ns = max(self._upto_ns + 1, now_ns - len(parts) + 1 + number)
            self._put_batch(part, [BATCH, self._upto_ns, cpu_ns, part, clocks])

    def _put_batch(self, events: list[list[Any]], message: list[Any]) -> None:
        try:
            self._line.put(frame(message))
        except BadFrame:  # too large, or a text that is none
            if len(events) <= 1:
                self.faults.count("agent", "event that can't be sent")
                return
            for event in events:
                self._upto_ns += 1
                self._put_batch([event], [BATCH, self._upto_ns, message[2], [event], []])

    def _clocks(self) -> list[tuple[int, int]]:
        """CPU clocks of the threads that requests in flight own."""
        if not self.reads_cpu:
            return []
        threads = {one._thread.native_id: one._thread for one in self._owners()}
        clocks = [(number, thread.cpu_ns()) for number, thread in threads.items()]
        return [(number, clock_ns) for number, clock_ns in clocks if clock_ns is not None]

    def _owners(self) -> list[Any]:
        with self.lock:
            own = (one for one in self._open.values() if one._cpu_started_ns is not None)
            return [one for one, _ in zip(own, range(MOST_OWNERS), strict=False)]

    def _put_questions(self, now_ns: int) -> None:
        with self.lock:
            questions, self._questions = self._questions, set()
            told, self._feedback = self._feedback, []
        every_ns = OUTLOOK_NS if now_ns - self._quoted_ns < QUOTES_NS else RARE_OUTLOOK_NS
        if now_ns - self._outlook_ns >= every_ns:
            self._outlook_ns = now_ns
            questions.add(OUTLOOK)
        for what in questions:
            self._line.put(frame([ASK, what]))
        for request_id, useful in told:
            self._line.put(frame([FEEDBACK, request_id, useful]))

    # ---- what the agent says ---------------------------------------------------------------

    def _take(self, messages: Sequence[Any]) -> None:
        settled: list[Request] = []
        for message in messages:
            try:
                settled += self._take_one(message[0], message[1:])
            except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
                self._line.lose(f"the agent says what can't be understood ({error!r})")
                break
        self._announce(settled)

    def _take_one(self, kind: int, said: Sequence[Any]) -> list[Request]:
        if kind == SETTLED:
            return self._settle_all(said[0])
        if kind == NEWS:
            self._hear_news(*said)
        elif kind == WELCOME:
            self._be_welcome(*said)
        elif kind == REFUSED:
            self._line.lose(f"the agent refuses this process: {said[0]}")
        elif kind == BALANCE:
            balance = balance_from_plain(said[0])
            with self.lock:
                self._balance, self._answers = balance, self._answers + 1
                self.lock.notify_all()
        elif kind == OUTLOOK:
            self._outlook = outlook_from_plain(said[0], self._devices)
        return []

    def _be_welcome(self, version: int, said: Sequence[Any]) -> None:
        self._beat_ns, self.reads_cpu, self._idle_policy, devices, factors = said
        self._devices = tuple(device_from_plain(device) for device in devices)
        self._naming = Naming(self._devices)
        self.factors = factors_from_plain(factors)
        if self._greeted:
            return
        self._line.holds()
        with self.lock:
            self._greeted, self._outlook_ns = True, 0
            self._tell_again()

    def _tell_again(self) -> None:
        """Tells an agent that has just answered of what is in flight, and of what began so short
        a while ago that nothing of it is lost, as at a process's first request.
        """
        fresh_ns = self._clock.now_ns() - self._late_ns
        for request in [*self._ended.values(), *self._open.values()]:
            entry = _entry(request)
            entry.lost |= request._started_ns < fresh_ns
            if request._ended_ns < 0 or not entry.lost:
                self._tell_start(request, entry, resumed=entry.lost)
                if request._ended_ns >= 0:
                    self._events.append(end_of(request, entry.number))

    def _hear_news(self, news: Sequence[Any], beat_ns: int) -> None:
        at_ns, share_s, running, draws = news
        self._beat_ns = beat_ns
        self._levels.take(News(at_ns, share_s, running, tuple(Draw(*draw) for draw in draws)))
        with self.lock:
            guarded = [(self._open[number], guard) for number, guard in self._guarded.items()]
        for request, guard in guarded:
            total_j = self.estimate(request).energy.total_j
            if total_j is not None:  # what is not known now does not undo what was
                guard.spent_j = total_j.mid

    def _settle_all(self, records: Sequence[Sequence[Any]]) -> list[Request]:
        """Takes settlements; those before one that can't be understood count all the same."""
        settled: list[Request] = []
        for record in records:
            try:
                request = self._settle(*record)
            except (TypeError, ValueError, LookupError) as error:
                self._line.lose(f"the agent says what can't be understood ({error!r})")
                break
            if request is not None:
                settled.append(request)
        return settled

    def _settle(
        self, number: int, plain: Sequence[Any] | None, intensity: Sequence[Any] | None
    ) -> Request | None:
        with self.lock:
            request = self._ended.get(number)
            if request is None:  # it took so long that it was given up
                return None
            entry = _entry(request)
            if plain is not None:
                self._take_settlement(entry, plain, intensity)
            del self._ended[number]
        entry.waits = False
        parent = _entry_of(request._parent, self)
        if parent is not None and parent.waits:
            parent.children.append(request)
        # Nothing may hold itself in a circle: requests are freed without the collector.
        request._parent = None
        return request

    def _take_settlement(
        self, entry: Entry, plain: Sequence[Any], intensity: Sequence[Any] | None
    ) -> None:
        among = set(plain[-1])
        children = tuple(one for one in entry.children if _entry(one).number in among)
        said = settlement_from_plain(plain, self._devices, self._idle_policy, children)
        entry.said, entry.intensity = said, factor_from_plain(intensity)

    def _announce(self, settled: Sequence[Request]) -> None:
        """Requests were settled: tells who waits, and hands their receipts over."""
        if not settled:
            return
        with self.lock:
            for request in settled:
                request._settled = True
                self._told_settled(request)
            self._settled += len(settled)
            self.lock.notify_all()
        for _ in self._hand_over(settled):
            pass

    def _expire(self, now_ns: int) -> None:
        """Settles as unknown what the agent says nothing of."""
        if now_ns - self._expired_ns < NS_PER_S // 10:
            return
        self._expired_ns = now_ns
        with self.lock:
            lost = [
                number
                for number, request in self._ended.items()
                if now_ns - request._ended_ns > (SLOW_NS if _entry(request).heard else LOST_NS)
            ]
        self._give_up(lost)

    def _give_up(self, numbers: Sequence[int]) -> None:
        if numbers:
            self.faults.count("agent", "unknown receipt", len(numbers))
        found = [self._settle(number, None, None) for number in numbers]
        self._announce([request for request in found if request is not None])

    # ---- what the tracker asks -------------------------------------------------------------

    def sample(self, alone: bool) -> None:
        """The agent reads its sources when it is time."""

    def settle_all(self, timeout: float) -> bool:
        """Waits until all that has ended by now is settled and handed over; whether it is."""
        self.drain()
        with self.lock:
            numbers = set(self._ended)
        return self.wait_for(
            lambda: (
                numbers.isdisjoint(self._ended)
                and self._handed_over >= self._settled
                and not self.made
            ),
            timeout,
        )

    def give_up(self, ended_by_ns: int) -> None:
        """Settles as unknown the requests that had ended by then."""
        self.drain()
        with self.lock:
            lost = [n for n, one in self._ended.items() if one._ended_ns <= ended_by_ns]
        self._give_up(lost)

    def receipt(self, request: Request) -> Receipt:
        """The receipt of a settled request; made once, when it is first asked for."""
        if request._receipt is None:
            entry = _entry(request)
            said, reason = entry.said, ""
            if said is None:
                reason = f"the agent at {self._path} told nothing of it"
                said = Settlement((), frozenset({flags.AGENT_LOST}), self._idle_policy, "none")
            if entry.lost:
                said = said._replace(said=said.said | {flags.AGENT_LOST})
            made = self._receipt(request, said, entry.intensity)
            request._receipt = replace(made, reason=reason) if reason else made
        return request._receipt

    def estimate(self, request: Request) -> Receipt:
        """A provisional receipt by equal shares of the host's power, or the settled one."""
        if request._settled:
            return self.receipt(request)
        entry, own = request._account, max(1, len(self._open))
        busy_ns = self._busy_ns if self._open else request._started_ns
        since = self._levels.at(request._started_ns, own, busy_ns)
        if isinstance(entry, Entry):
            since = entry.level or since
        until_ns = request._ended_ns if request._ended_ns >= 0 else self._clock.now_ns()
        names = self._names(request)
        if isinstance(entry, Entry) and entry.paused_ns:
            until_ns = min(until_ns, entry.paused_ns)
        return self._receipt(
            request,
            provisional(
                self._levels.at(until_ns, own, busy_ns),
                self._levels.news,
                self._devices,
                since,
                self._idle_policy,
                None if names is None else self._naming.meant(names).places,
            ),
        )

    def outlook(self) -> Outlook:
        """What the agent knew of a request to come: a second ago while quotes are asked for, ten
        before the first; what was in flight on the host then.
        """
        self._quoted_ns = self._clock.now_ns()
        return self._outlook

    def requests_in_flight(self) -> list[Request]:
        """Requests of this process that have started and not ended, the oldest first."""
        with self.lock:
            self.drain()
            return [*self._open.values()]

    def balance(self) -> Balance:
        """The books of the host; where the agent does not answer, as they were told last."""
        with self.lock:
            if self._greeted and threading.current_thread() is not self._thread:
                before = self._answers
                self._questions.add(BALANCE)
                self.lock.wait_for(lambda: self._answers != before, ANSWER_S)
            return self._balance

    def status(self) -> Status:
        """What this process says of itself; its devices are the agent's."""
        with self.lock:
            self.drain()
            return Status(
                in_flight=dict(self.in_flight),
                source_errors=dict(self.faults.errors),
                dropped_receipts={box.exporter.name: box.dropped for box in self.outboxes},
                self_cpu_s=self._cpu_s + sum(box.cpu_s for box in self.outboxes),
            )

    def feedback(self, request_id: str, useful: bool) -> bool:
        """Tells the exporters, and the agent for its own; whether one of them may take it."""
        own = request_id.startswith(self.id_prefix + "-")
        if own and self._greeted:
            with self.lock:
                self._feedback.append((request_id, useful))
        return super().feedback(request_id, useful) or (own and self._greeted)

    @property
    def has_learned(self) -> bool:
        """What is learned is the agent's."""
        return False

    def state(self) -> NoReturn:
        """What is learned is the agent's.

        Raises:
            InferprintError: always.
        """
        raise InferprintError(
            "what was learned is with the host's agent: give that one a learned_path"
        )


def _entry(request: Request) -> Entry:
    return cast("Entry", request._account)


def _entry_of(request: Request | None, front: Front) -> Entry | None:
    """Of a parent, if it is this front's: not another tracker's, nor one of before a fork."""
    entry = request._account if request is not None else None
    return entry if isinstance(entry, Entry) and entry.front is front else None
