"""Who caused what: the books of one device, window by window.

Every window of a device is split once, when it closes, with what is known then:

    measured = requests' active + idle + standing + not yet charged + other processes
               + unattributed

Idle energy is shared by the requests in flight, each instant in equal parts. Active energy
is shared by weight: a part that is shared alike (dt/n with n requests in flight) and each
request's own work, scaled together to what the meter says.

A start or an end costs the same with ten requests in flight as with ten thousand: the
books keep what one share has earned so far, its level, and a request is owed the
difference between its end and its start, as in fair queueing (virtual time: Parekh and
Gallager, IEEE/ACM Transactions on Networking 1, 1993).

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferprint.doubts import Doubts
from inferprint.idle import QUIET_BUSY_SHARE, IdlePower
from inferprint.learning.usual import BUSY, Ratio
from inferprint.levels import Level
from inferprint.notes import Notes
from inferprint.records import Device, DeviceBalance, Provenance
from inferprint.splitting import Split, split_window
from inferprint.stakes import ARRIVE, END, RESUME, Earned, Stake
from inferprint.standing import IdlePolicy
from inferprint.timeline import PARTS, Mark, Span, State
from inferprint.uncertainty import ItemDoubts, WorkPart
from inferprint.units import seconds
from inferprint.weighing import Charge, Weighing
from inferprint.weights import Weights
from inferprint.windows import Window

if TYPE_CHECKING:
    from inferprint.books import Account


@dataclass(slots=True)
class Totals:
    """Sums over the closed windows of a device, in joules.

    ``active_j`` and ``idle_j`` are what requests have taken; what those in flight have
    earned in equal shares and not taken yet is not in them. ``pool_j`` is standing energy
    not charged yet.
    """

    measured_j: float = 0.0
    active_j: float = 0.0
    idle_j: float = 0.0
    unsplit_j: float = 0.0
    standing_charged_j: float = 0.0
    standing_j: float = 0.0
    pool_j: float = 0.0
    other_j: float = 0.0
    unattributed_j: float = 0.0


class Ledger:
    """The books of one device.

    Args:
        device: the device.
        idle: its idle power.
        policy: who pays for idle energy, with its own memory of this device's traffic.
        weights: asked once a window how active energy is to be weighed.
        place: where an account's stakes have the one in this device.
    """

    def __init__(
        self,
        device: Device,
        idle: IdlePower,
        policy: IdlePolicy,
        weights: Weights,
        place: int = 0,
    ) -> None:
        self.device = device
        self.idle = idle
        self.weights = weights
        self.cursor = 0
        self.state: State | None = None
        self.provenance: Provenance = "unknown"
        self.power_w: float | None = None
        # Active watts while requests ran, over the last ten seconds in which they did.
        self.busy_w = Ratio()
        self._place = place
        self._policy = policy
        self._totals = Totals()
        self._active = Level()
        self._idle = Level()
        self._notes = Notes(device, weights.method)
        self._weighing = Weighing(weights, place)
        self._doubts = Doubts(device)
        # Active watts of the requests together, when last there were any.
        self._busy_w: float | None = None

    @property
    def owners(self) -> Sequence[Account]:
        """The requests in flight that own their thread, at the last window's end."""
        return self._weighing.owners

    def open(self, marks: Sequence[Mark], state: State) -> Iterator[Account]:
        """The first reading of the device.

        Args:
            marks: the events before it.
            state: the time line at it.

        Yields:
            The requests that ended before it, of which this device knows nothing.
        """
        self._notes.begin()
        self.cursor += len(marks)
        self.state = state
        self._weighing.open(marks)
        yield from self._move(Span(state, state, marks), 0.0, 0.0)

    def close(
        self,
        window: Window,
        marks: Sequence[Mark],
        end: State,
        cpu_ns: Mapping[Account, int] | None = None,
    ) -> Iterator[Account]:
        """Splits a window among the requests in flight in it.

        The books are in order again when the iterator has come to its end.

        Args:
            window: it begins where the one before it ended.
            marks: the events since then.
            end: the time line at the window's end.
            cpu_ns: CPU clocks, at its end, of the threads that requests in flight own.

        Yields:
            The requests that ended in it.
        """
        span = Span(self.state or end.at(window.start_ns), end, marks)
        self.cursor += len(marks)
        self._observe_idle(window, span)
        split = split_window(window, span.busy_ns, span.quiet_ns, self.idle.watts)
        self._notes.add(window, span, self.idle.flag)
        self._doubts.observe(window, span)
        self._book(window, split, span)
        self._charge_standing(split, span)
        yield from self._share(window, split, span, cpu_ns or {})
        self.state = end

    def earned(self, stake: Stake) -> Earned:
        """What a request has earned up to the last window's end."""
        active_j, idle_j = stake.active_j, stake.idle_j
        if stake.running:
            idle_j += self._idle.value - stake.idle_entry
            active_j += self._active.value - stake.active_entry if stake.pooled else 0.0
        return Earned(active_j, idle_j, stake.standing_j)

    def expected(self, stake: Stake, started_ns: int, until_ns: int, sharers: int) -> Earned | None:
        """What a request will have earned by an instant after the last window's end, at the
        power of the windows before, shared by so many; None where that is not known.
        """
        earned = self.earned(stake)
        closed_ns = self.state.at_ns if self.state is not None else 0
        ahead_s = seconds(max(0, until_ns - max(closed_ns, started_ns)))
        if self._busy_w is None:
            return earned if stake.first_window and not ahead_s else None
        share_s = ahead_s / max(1, sharers)
        idle_w = (self.idle.watts or 0.0) * self._policy.shares_idle
        return Earned(
            earned.active_j + self._busy_w * share_s,
            earned.idle_j + idle_w * share_s,
            earned.standing_j,
        )

    @property
    def shared_idle_w(self) -> float | None:
        """Idle watts that requests in flight share; None: they are not known."""
        idle_w = self.idle.watts
        return idle_w if idle_w is None or self._policy.shares_idle else 0.0

    def standing_due_j(self, at_ns: int, after_quiet: bool) -> float:
        """What a request that came at this instant would draw of the standing energy."""
        return self._policy.due(self._totals.pool_j, at_ns, after_quiet)

    def said(self, stake: Stake) -> frozenset[str]:
        """The flags of the device and of the windows that a request has touched so far."""
        return self._notes.said(stake)

    def provenance_of(self, stake: Stake) -> Provenance:
        """How well the energy of a request is known, up to its end or the last window's."""
        return self._notes.provenance_of(stake)

    def method_of(self, stake: Stake) -> str:
        """The rule by which a request's active energy is shared."""
        return self._notes.method_of(stake)

    def doubts_of(self, stake: Stake, earned: Earned, duration_s: float) -> ItemDoubts:
        """How far off what a request has earned may be.

        Args:
            stake: the request's.
            earned: what it has earned.
            duration_s: from its start to its end, or now.
        """
        shares_idle, idle = self._policy.shares_idle, self.idle
        return self._doubts.of_items(stake, earned, duration_s, idle.deviation_w, shares_idle)

    def work_of(self, stake: Stake, active_j: float, duration_s: float) -> WorkPart | None:
        """What a request's active energy was for; as for ``Doubts.of_work``."""
        return self._doubts.of_work(stake, active_j, duration_s)

    def settle(self, stake: Stake) -> Earned:
        """Fixes what is said of a request, which does not change any more; returns what it
        has earned.
        """
        self._fix(stake)
        return self.earned(stake)

    def _finish(self, stake: Stake, at_start: bool) -> None:
        """A request has ended; one that ends as the window begins has no part in it."""
        if stake.provenance is None:
            self._fix(stake, before_last=at_start)

    def _fix(self, stake: Stake, before_last: bool = False) -> None:
        self._notes.fix(stake, before_last)
        if stake.provenance == "unknown":
            # Nothing is known of it, so it is not charged for waiting either.
            self._totals.standing_charged_j -= stake.standing_j
            self._totals.pool_j += stake.standing_j
            stake.standing_j = 0.0

    def write_off(self, stake: Stake, paid: Earned) -> None:
        """A request was settled before it ended here: what it earned since is nobody's."""
        earned, totals = self.earned(stake), self._totals
        totals.active_j -= earned.active_j - paid.active_j
        totals.idle_j -= earned.idle_j - paid.idle_j
        totals.unattributed_j += earned.active_j - paid.active_j + earned.idle_j - paid.idle_j
        totals.standing_charged_j -= earned.standing_j - paid.standing_j
        totals.pool_j += earned.standing_j - paid.standing_j

    def balance(self) -> DeviceBalance:
        """The books up to the last window's end."""
        totals = self._totals
        return DeviceBalance(
            component=self.device.component,
            name=self.device.name,
            provenance=self.provenance,
            measured_j=totals.measured_j,
            requests_active_j=totals.active_j + self._active.outstanding + self._weighing.held_j,
            requests_idle_j=totals.idle_j + self._idle.outstanding,
            requests_standing_j=totals.standing_charged_j,
            standing_j=totals.pool_j,
            other_processes_j=totals.other_j,
            unattributed_j=totals.unattributed_j,
            requests_unsplit_j=totals.unsplit_j,
            standing_total_j=totals.standing_j,
            power_w=self.power_w,
            idle_w=self.idle.watts,
        )

    # ---- one window ----------------------------------------------------------------------

    def _observe_idle(self, window: Window, span: Span) -> None:
        if window.energy_j is None or window.gap or window.rough:
            return
        power_w = window.energy_j / window.duration_s
        limit_s = QUIET_BUSY_SHARE * self.device.capacity * window.duration_s
        if span.busy_ns:
            self.idle.bound(power_w, window.duration_s)
        elif (window.busy_s or 0.0) <= limit_s:
            self.idle.observe(power_w, window.duration_s)

    def _book(self, window: Window, split: Split, span: Span) -> None:
        totals = self._totals
        if window.energy_j is not None and not window.gap:
            self.provenance = window.provenance
            self.power_w = window.energy_j / window.duration_s
        totals.measured_j += window.energy_j or 0.0
        totals.other_j += split.other_j
        totals.unattributed_j += split.unattributed_j
        if window.energy_j is not None and span.busy_ns:
            busy_s = seconds(span.busy_ns)
            self._busy_w = split.requests_j / busy_s
            self.busy_w.add(split.requests_j, busy_s, BUSY * busy_s)
        if self.idle.watts is None:
            totals.unsplit_j += split.requests_j

    def _charge_standing(self, split: Split, span: Span) -> None:
        """Puts the idle energy of quiet time into the pool, and lets arrivals draw on it."""
        joules_per_ns = split.idle_j / span.length_ns if span.length_ns else 0.0
        pooled_ns = span.start.quiet_ns
        if span.marks and self._policy.draws:
            pooled_ns = self._let_draw(span, joules_per_ns)
        self._pool(joules_per_ns * (span.end.quiet_ns - pooled_ns))
        if not self._policy.shares_idle:
            self._totals.pool_j += joules_per_ns * span.busy_ns

    def _let_draw(self, span: Span, joules_per_ns: float) -> int:
        """Lets arrivals draw on the pool as it fills; returns up to which quiet time it did."""
        pooled_ns, first, arrivals = span.start.quiet_ns, span.marks[0], list[Mark]()
        for mark in (*span.marks, None):
            if mark is None or mark[0] != first[0]:
                if arrivals:
                    # As it was just before all that happens at this instant: a child that takes
                    # over from its parent ends no quiet, one that starts together with it does.
                    quiet_ns, running = first[6], first[8]
                    self._pool(joules_per_ns * (quiet_ns - pooled_ns))
                    pooled_ns = quiet_ns
                    self._draw(first[0], arrivals, after_quiet=not running)
                    arrivals = []
                first = mark or first
            if mark is not None and mark[1] == ARRIVE:
                arrivals.append(mark)
        return pooled_ns

    def _pool(self, joules: float) -> None:
        self._totals.pool_j += joules
        self._totals.standing_j += joules

    def _draw(self, at_ns: int, arrivals: Sequence[Mark], after_quiet: bool) -> None:
        totals = self._totals
        drawn_j = self._policy.draw(totals.pool_j, at_ns, len(arrivals), after_quiet)
        totals.pool_j -= drawn_j
        totals.standing_charged_j += drawn_j
        for mark in arrivals:
            mark[2].stakes[self._place].standing_j += drawn_j / len(arrivals)

    def _share(
        self, window: Window, split: Split, span: Span, cpu_ns: Mapping[Account, int]
    ) -> Iterator[Account]:
        """Gives the requests their shares of what is active and of what is idle."""
        if not span.marks and not span.start.running:
            return  # nobody is there to share
        charge = self._weighing.charge(window, split, span, cpu_ns)
        self._pay(charge)
        self._doubts.begin(window, split, span, charge)
        active_per_ns = charge.share_j_per_ns
        idle_per_ns = 0.0
        if self._policy.shares_idle and span.length_ns:
            idle_per_ns = split.idle_j / span.length_ns
        yield from self._move(span, active_per_ns, idle_per_ns)
        share_ns = (span.end.share - span.start.share) / PARTS
        pool_ns = (span.end.pool - span.start.pool) / PARTS
        self._active.rise(active_per_ns * (pool_ns if self.weights.owns_threads else share_ns))
        self._idle.rise(idle_per_ns * share_ns)
        self._doubts.end(span)

    def _pay(self, charge: Charge) -> None:
        """Pays for requests' own work."""
        self._totals.unattributed_j += charge.unattributed_j
        for stake, own_j in charge.own_j.items():
            stake.active_j += own_j
            self._totals.active_j += own_j
        if charge.learned:
            self._notes.learned()

    def _move(self, span: Span, active_per_ns: float, idle_per_ns: float) -> Iterator[Account]:
        """Lets requests in and out of the shares, each at its instant; yields the ended."""
        share_from, pool_from = span.start.share, span.start.pool
        own_threads, place, doubts = self.weights.owns_threads, self._place, self._doubts
        for at_ns, kind, account, cpu_ns, share, pool, _, _, _, _ in span.marks:
            stake = account.stakes[place]
            share_ns = (share - share_from) / PARTS
            active_j = active_per_ns * ((pool - pool_from) / PARTS if own_threads else share_ns)
            if kind <= RESUME:
                if kind == ARRIVE:
                    self._notes.arrive(stake, at_ns >= span.end.at_ns)
                stake.pooled = cpu_ns is None or not own_threads
                self._enter(stake, active_j, idle_per_ns * share_ns)
                doubts.enter(stake, share_ns)
            elif stake.running:
                self._leave(stake, active_j, idle_per_ns * share_ns)
                doubts.leave(stake, share_ns)
            if kind >= END:
                self._finish(stake, at_ns <= span.start.at_ns)
                yield account

    def _enter(self, stake: Stake, active_j: float, idle_j: float) -> None:
        stake.running = True
        stake.idle_entry = self._idle.enter(idle_j)
        if stake.pooled:
            stake.active_entry = self._active.enter(active_j)

    def _leave(self, stake: Stake, active_j: float, idle_j: float) -> None:
        stake.running = False
        earned_j = self._idle.leave(idle_j, stake.idle_entry)
        stake.idle_j += earned_j
        self._totals.idle_j += earned_j
        if stake.pooled:
            earned_j = self._active.leave(active_j, stake.active_entry)
            stake.active_j += earned_j
            self._totals.active_j += earned_j
