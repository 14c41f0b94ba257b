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

from inferprint.doubts import Doubts, Noise
from inferprint.idle import QUIET_BUSY_SHARE, IdlePower
from inferprint.learning.usual import BUSY, Ratio
from inferprint.notes import Notes
from inferprint.paying import pay_alike, pay_work
from inferprint.pool import StandingPool
from inferprint.records import Device, DeviceBalance, Provenance
from inferprint.sharing import EqualShares
from inferprint.splitting import Split, split_window
from inferprint.stakes import Earned, Stake
from inferprint.standing import IdlePolicy
from inferprint.timeline import Mark, Span, State
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

    ``own_j`` is what requests were charged for their own work. ``lost_active_j`` and
    ``lost_idle_j`` are what requests have earned and are not charged for.
    """

    measured_j: float = 0.0
    own_j: float = 0.0
    lost_active_j: float = 0.0
    lost_idle_j: float = 0.0
    unsplit_j: float = 0.0
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
        self.place = place
        self._totals = Totals()
        self._notes = Notes(device, weights.method)
        self._weighing = Weighing(weights, place)
        self._doubts = Doubts(device)
        self._shares = EqualShares(place, weights.owns_threads, self._doubts)
        self._pool = StandingPool(policy, place)
        # Active watts of the requests together, when last there were any.
        self._busy_w: float | None = None

    @property
    def measured_j(self) -> float:
        """What its counter advanced by."""
        return self._totals.measured_j

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
        self._pool.take(split, span)
        yield from self._share(window, split, span, cpu_ns or {})
        self.state = end

    def earned(self, stake: Stake) -> Earned:
        """What a request has earned up to the last window's end."""
        active_j, idle_j = self._shares.earned_j(stake)
        active_j += stake.active_j + stake.own_j
        return Earned(active_j, stake.idle_j + idle_j, stake.standing_j)

    def expected(self, stake: Stake, started_ns: int, until_ns: int, sharers: int) -> Earned | None:
        """What a request will have earned by an instant after the last window's end, at the
        power of the windows before, shared by so many; None where that is not known.
        """
        earned = self.earned(stake)
        closed_ns = self.state.at_ns if self.state is not None else 0
        ahead_s = seconds(max(0, until_ns - max(closed_ns, started_ns)))
        if self._busy_w is None:
            return earned if stake.since.first_window and not ahead_s else None
        share_s = ahead_s / max(1, sharers)
        idle_w = (self.idle.watts or 0.0) * self._pool.shares_idle
        return Earned(
            earned.active_j + self._busy_w * share_s,
            earned.idle_j + idle_w * share_s,
            earned.standing_j,
        )

    @property
    def latest_busy_w(self) -> float | None:
        """Active watts of the requests together, when last there were any; None: never yet."""
        return self._busy_w

    @property
    def shared_idle_w(self) -> float | None:
        """Idle watts that requests in flight share; None: they are not known."""
        idle_w = self.idle.watts
        return idle_w if idle_w is None or self._pool.shares_idle else 0.0

    def standing_due_j(self, at_ns: int, after_quiet: bool) -> float:
        """What a request that came at this instant would draw of the standing energy."""
        return self._pool.due_j(at_ns, after_quiet)

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
        shares_idle, idle = self._pool.shares_idle, self.idle
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

    def _fix(self, stake: Stake, before_last: bool = False) -> None:
        stake.verdict = verdict = self._notes.verdict(stake.since, before_last)
        if verdict.provenance == "unknown":
            # Nothing is known of it, so it is not charged for waiting either.
            self._pool.give_back(stake.standing_j)
            stake.standing_j = 0.0

    def write_off(self, stake: Stake, paid: Earned) -> None:
        """A request was settled before it ended here: what it earned since is nobody's."""
        earned, totals = self.earned(stake), self._totals
        active_j, idle_j = earned.active_j - paid.active_j, earned.idle_j - paid.idle_j
        totals.lost_active_j += active_j
        totals.lost_idle_j += idle_j
        totals.unattributed_j += active_j + idle_j
        self._pool.give_back(earned.standing_j - paid.standing_j)

    def balance(self) -> DeviceBalance:
        """The books up to the last window's end."""
        totals, shares, pool = self._totals, self._shares, self._pool
        held_j = self._weighing.held_j
        return DeviceBalance(
            component=self.device.component,
            name=self.device.name,
            provenance=self.provenance,
            measured_j=totals.measured_j,
            requests_active_j=shares.active_j + totals.own_j - totals.lost_active_j + held_j,
            requests_idle_j=shares.idle_j - totals.lost_idle_j,
            requests_standing_j=pool.charged_j,
            standing_j=pool.held_j,
            other_processes_j=totals.other_j,
            unattributed_j=totals.unattributed_j,
            requests_unsplit_j=totals.unsplit_j,
            standing_total_j=pool.total_j,
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

    def _share(
        self, window: Window, split: Split, span: Span, cpu_ns: Mapping[Account, int]
    ) -> Iterator[Account]:
        """Gives the requests their shares of what is active and of what is idle."""
        if not span.marks and not span.start.running:
            return  # nobody is there to share
        charge = self._weighing.charge(window, split, span, cpu_ns)
        self._pay(charge, self._doubts.begin(window, split, span, charge))
        idle_per_ns = 0.0
        if self._pool.shares_idle and span.length_ns:
            idle_per_ns = split.idle_j / span.length_ns
        yield from self._move(span, charge.share_j_per_ns, idle_per_ns)
        self._doubts.end(span)

    def _pay(self, charge: Charge, noise: Noise) -> None:
        """Pays for requests' own work."""
        self._totals.unattributed_j += charge.unattributed_j
        pay = pay_work if charge.learned else pay_alike
        for own in charge.shares.own:
            self._totals.own_j += pay(own, charge.joules, noise)
        if charge.learned:
            self._notes.learned()

    def _move(self, span: Span, active_per_ns: float, idle_per_ns: float) -> Iterator[Account]:
        """Lets requests in and out of the shares; yields the ended."""
        since, start_ns = [self._notes.since(at_end) for at_end in (False, True)], span.start.at_ns
        for mark in self._shares.move(span, active_per_ns, idle_per_ns, since):
            stake = mark[2].stakes[self.place]
            if stake.verdict is None:
                # One that ends as the window begins has no part in it.
                self._fix(stake, before_last=mark[0] <= start_ns)
            yield mark[2]
