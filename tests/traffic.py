"""Requests for tests of the books: told to them as they would be, and, for comparison, shared
out by a slow reference that looks at every request in every stretch of time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from inferprint.attribution import Ledger
from inferprint.books import Account, Books
from inferprint.idle import IdlePower
from inferprint.records import Device, IdlePolicyName, Provenance
from inferprint.splitting import split_window
from inferprint.stakes import Earned
from inferprint.standing import IdlePolicy, idle_policy
from inferprint.units import NS_PER_S
from inferprint.weights import TimeInFlight, Weights
from inferprint.windows import Window

HORIZON_S = 3600.0


@dataclass(frozen=True)
class Run:
    """One request: when it runs, and the number of the one that it runs inside."""

    start_ns: int
    end_ns: int
    parent: int | None = None


def run(start_s: float, end_s: float, parent: int | None = None) -> Run:
    """A request, its times in seconds."""
    return Run(round(start_s * NS_PER_S), round(end_s * NS_PER_S), parent)


def window(start_s: float, end_s: float, energy_j: float | None, **more: object) -> Window:
    """A window of the device ``gpu:0``, its times in seconds; ``more`` as for ``Window``."""
    device_id = str(more.pop("device_id", "gpu:0"))
    start_ns, end_ns = round(start_s * NS_PER_S), round(end_s * NS_PER_S)
    return Window(device_id, start_ns, end_ns, energy_j, **more)  # type: ignore[arg-type]


def make_books(
    policy: IdlePolicyName = "in_flight",
    idle_w: float | None = None,
    devices: Sequence[str] = ("gpu:0",),
    weights: Callable[[], Weights] = TimeInFlight,
    horizon_s: float = HORIZON_S,
) -> Books:
    """Books of devices whose idle power is set by hand, or, for None, to be observed."""
    ledgers = []
    for place, device_id in enumerate(devices):
        device = Device(device_id, "gpu", "a device")
        idle = IdlePower(device, idle_w)
        ledgers.append(Ledger(device, idle, idle_policy(policy, horizon_s), weights(), place))
    return Books(ledgers)


def close(books: Books, *windows: Window, cpu_ns: Mapping[Account, int] | None = None) -> None:
    """Closes windows, and does all that they bring."""
    for one in windows:
        for _ in books.close(one, cpu_ns):
            pass


# ---- telling ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """What the books are told: a start or an end."""

    at_ns: int
    ends: bool
    number: int


def events_of(runs: Sequence[Run]) -> list[Event]:
    """Starts and ends in the order of time; at one instant ends come first, inner ones before
    outer ones.
    """
    starts = [Event(one.start_ns, False, number) for number, one in enumerate(runs)]
    ends = [Event(one.end_ns, True, number) for number, one in enumerate(runs)]
    return sorted([*starts, *ends], key=_by_time)


def _by_time(event: Event) -> tuple[int, bool, int]:
    return event.at_ns, not event.ends, -event.number if event.ends else event.number


def play(
    books: Books,
    runs: Sequence[Run],
    windows: Sequence[Window],
    *,
    shuffle: Random | None = None,
    watch: Callable[[Window], None] = lambda window: None,
    clock_ns: Callable[[int, int], int | None] = lambda number, at_ns: None,
    places: Callable[[int], frozenset[int] | None] = lambda number: None,
) -> list[Account]:
    """Tells the books of requests as they go, and closes windows in the order of their ends.

    Args:
        books: the books.
        runs: the requests.
        windows: of all devices.
        shuffle: tells what happened since the last window in another order, in which each
            request and those inside it keep theirs.
        watch: called after every window.
        clock_ns: the CPU clock, at an instant, of the thread that a request owns.
        places: the devices that a request runs on.

    Returns:
        The requests' accounts.
    """
    accounts: dict[int, Account] = {}
    events = events_of(runs)
    for one in sorted(windows, key=lambda window: window.end_ns):
        told = [event for event in events if event.at_ns <= one.end_ns]
        events = events[len(told) :]
        for event in told if shuffle is None else _interleaved(runs, told, shuffle):
            _tell(books, runs, accounts, event, clock_ns, places)
        owners = books.ledgers[one.device_id].owners
        clocks = {owner: clock_ns(owner.request, one.end_ns) for owner in owners}
        close(books, one, cpu_ns={k: ns for k, ns in clocks.items() if ns is not None})
        watch(one)
    assert not events, "the windows end before the requests do"
    return [accounts[number] for number in range(len(runs))]


def _tell(
    books: Books,
    runs: Sequence[Run],
    accounts: dict[int, Account],
    event: Event,
    clock_ns: Callable[[int, int], int | None],
    places: Callable[[int], frozenset[int] | None],
) -> None:
    number, one = event.number, runs[event.number]
    own_ns = clock_ns(number, event.at_ns)
    parent_ns = None if one.parent is None else clock_ns(one.parent, event.at_ns)
    if event.ends:
        books.end(accounts[number], one.end_ns, own_ns, parent_ns)
        return
    parent = None if one.parent is None else accounts[one.parent]
    accounts[number] = Account(number, one.start_ns, parent, places=places(number))
    books.start(accounts[number], own_ns, parent_ns)


def _interleaved(runs: Sequence[Run], told: Sequence[Event], random: Random) -> Iterator[Event]:
    families: dict[int, list[Event]] = {}
    for event in told:
        families.setdefault(_eldest(runs, event.number), []).append(event)
    while families:
        eldest = random.choice(list(families))
        yield families[eldest].pop(0)
        if not families[eldest]:
            del families[eldest]


def _eldest(runs: Sequence[Run], number: int) -> int:
    parent = runs[number].parent
    return number if parent is None else _eldest(runs, parent)


# ---- the reference ----------------------------------------------------------------------


class Reference:
    """The shares of one device's windows, request by request and stretch by stretch.

    Args:
        runs: the requests.
        policy: who pays for idle energy.
    """

    def __init__(self, runs: Sequence[Run], policy: IdlePolicyName) -> None:
        self.active_j = [0.0] * len(runs)
        self.idle_j = [0.0] * len(runs)
        self.standing_j = [0.0] * len(runs)
        self.pool_j = self.standing_total_j = 0.0
        self._runs = runs
        self._policy: IdlePolicy = idle_policy(policy, HORIZON_S)
        self._separate = policy == "separate"
        self._known: set[int] = set()

    def in_flight(self, at_ns: int) -> list[int]:
        """The requests that run just after an instant and wait for no child."""
        alive = [n for n, one in enumerate(self._runs) if one.start_ns <= at_ns < one.end_ns]
        return [n for n in alive if not any(self._runs[child].parent == n for child in alive)]

    def close(self, one: Window, idle_w: float | None) -> None:
        """Shares out a window."""
        events = sorted({t for r in self._runs for t in (r.start_ns, r.end_ns)})
        inner = [at_ns for at_ns in events if one.start_ns < at_ns < one.end_ns]
        stretches = list(pairwise([one.start_ns, *inner, one.end_ns]))
        busy_ns = sum(to - since for since, to in stretches if self.in_flight(since))
        quiet_ns = one.end_ns - one.start_ns - busy_ns
        split = split_window(one, busy_ns, quiet_ns, idle_w)
        idle_w = split.idle_j / (one.end_ns - one.start_ns)
        for since_ns, to_ns in stretches:
            running = self.in_flight(since_ns)
            self._share(running, idle_w * (to_ns - since_ns))
            for number in running:
                share = (to_ns - since_ns) / busy_ns / len(running)
                self.active_j[number] += split.requests_j * share
            self._draw(to_ns, not running)
        self._give_back(one)

    def _give_back(self, one: Window) -> None:
        """Requests of which nothing is known are not charged for waiting."""
        for number, run in enumerate(self._runs):
            known = one.energy_j is not None and not one.gap
            if known and run.start_ns < one.end_ns and run.end_ns > one.start_ns:
                self._known.add(number)
            if one.start_ns < run.end_ns <= one.end_ns and number not in self._known:
                self.pool_j += self.standing_j[number]
                self.standing_j[number] = 0.0

    def _share(self, running: Sequence[int], idle_j: float) -> None:
        if not running:
            self.standing_total_j += idle_j
        if not running or self._separate:
            self.pool_j += idle_j
            return
        for number in running:
            self.idle_j[number] += idle_j / len(running)

    def _draw(self, at_ns: int, after_quiet: bool) -> None:
        arrivals = [n for n, one in enumerate(self._runs) if one.start_ns == at_ns]
        if not arrivals or not self._policy.draws:
            return
        drawn_j = self._policy.draw(self.pool_j, at_ns, len(arrivals), after_quiet)
        self.pool_j -= drawn_j
        for number in arrivals:
            self.standing_j[number] += drawn_j / len(arrivals)


# ---- what the books say -----------------------------------------------------------------


def earned(books: Books, account: Account, place: int = 0) -> Earned:
    """What a request was charged by the device in that place."""
    ledger = list(books.ledgers.values())[place]
    return account.paid.get(place) or ledger.earned(account.stakes[place])


def sums(books: Books, accounts: Sequence[Account], place: int = 0) -> Earned:
    """What requests were charged together."""
    parts = [earned(books, account, place) for account in accounts]
    return Earned(*(math.fsum(part[i] for part in parts) for i in range(3)))


def provenance(books: Books, account: Account) -> Provenance:
    """How well the first device knows a request's energy."""
    ledger, stake = books.stakes_of(account)[0]
    return ledger.provenance_of(stake)


def said(books: Books, account: Account) -> frozenset[str]:
    """The flags of the first device's windows."""
    ledger, stake = books.stakes_of(account)[0]
    return ledger.said(stake)


def shares(
    runs: Sequence[Run], *windows: Window, policy: IdlePolicyName = "in_flight", idle_w: float = 0.0
) -> list[Earned]:
    """What requests earn in these windows, with idle power set by hand."""
    books = make_books(policy, idle_w)
    accounts = play(books, runs, windows)
    return [earned(books, account) for account in accounts]


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start_s = time.perf_counter()
    call()
    return time.perf_counter() - start_s


# ---- what holds for all books -----------------------------------------------------------


def assert_closed(books: Books) -> None:
    """Every device's terms sum to its meter, to 1e-9, and none is negative."""
    for balance in books.balance().values():
        terms_j = (
            balance.requests_active_j,
            balance.requests_idle_j,
            balance.requests_standing_j,
            balance.standing_j,
            balance.other_processes_j,
            balance.unattributed_j,
        )
        allowed_j = 1e-9 * balance.measured_j
        assert abs(math.fsum(terms_j) - balance.measured_j) <= allowed_j, balance
        assert balance.closure_error <= 1e-9
        assert min(terms_j) >= -allowed_j, balance
