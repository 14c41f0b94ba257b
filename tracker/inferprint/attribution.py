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

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from inferprint import flags
from inferprint.idle import QUIET_BUSY_SHARE, IdlePower
from inferprint.levels import Level
from inferprint.records import Device, DeviceBalance, Provenance
from inferprint.splitting import Split, split_window
from inferprint.stakes import STEP_IN_FLIGHT, Event, Kind, Stake
from inferprint.standing import IdlePolicy
from inferprint.timeline import Mark, Timeline
from inferprint.units import NS_PER_S, seconds
from inferprint.weights import Weights, WindowWork
from inferprint.windows import Window


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


class Earned(NamedTuple):
    """What a request has earned from a device, in joules."""

    active_j: float
    idle_j: float
    standing_j: float


class Ledger:
    """The books of one device.

    Args:
        device: the device.
        idle: its idle power.
        policy: who pays for idle energy, with its own memory of this device's traffic.
        weights: asked once a window how active energy is to be weighed.
    """

    def __init__(
        self, device: Device, idle: IdlePower, policy: IdlePolicy, weights: Weights
    ) -> None:
        self.device = device
        self.idle = idle
        self.weights = weights
        self.owners: set[Stake] = set()
        self.closed_ns: int | None = None
        self.provenance: Provenance = "unknown"
        self.power_w: float | None = None
        self._policy = policy
        self._pending: list[Event] = []
        self._totals = Totals()
        self._active = Level()
        self._idle = Level()
        self._windows = self._known_windows = self._known_before = self._prorated_last = 0
        self._said_last: dict[str, int] = {}
        # Active watts of the requests together, when last there were any.
        self._busy_w: float | None = None

    def add(self, event: Event) -> None:
        """Takes an event. One that comes after its window closed counts from the next."""
        self._pending.append(event)

    @property
    def backlog(self) -> int:
        """Events that wait for their window to close."""
        return len(self._pending)

    def close(self, window: Window, cpu_ns: Mapping[Stake, int] | None = None) -> list[Stake]:
        """Splits a window among the requests in flight in it.

        Args:
            window: it begins where the one before it ended.
            cpu_ns: CPU clocks, at its end, of the threads that requests in flight own.

        Returns:
            The stakes of the requests that ended in it.
        """
        self._windows += 1
        start_ns = max(window.start_ns, self.closed_ns or window.start_ns)
        timeline = Timeline(start_ns, self._idle.members, self.owners)
        due = self._due(window.end_ns)
        if due and due[0].at_ns < start_ns:
            due = self._shift_late(due, start_ns)
        marks = timeline.run(due, window.end_ns)
        for stake, clock_ns in (cpu_ns or {}).items():
            timeline.read_cpu(stake, clock_ns)
        self._observe_idle(window, timeline)
        split = split_window(window, timeline.busy_ns, timeline.quiet_ns, self.idle.watts)
        self._note(window, timeline)
        self._book(window, split, timeline)
        self._charge_standing(split, marks, timeline)
        self._share(window, split, marks, timeline)
        self.closed_ns = window.end_ns
        return [mark.event.stake for mark in marks if mark.event.kind >= Kind.END]

    def earned(self, stake: Stake) -> Earned:
        """What a request has earned up to the last window's end."""
        active_j, idle_j = stake.active_j, stake.idle_j
        if stake.running:
            idle_j += self._idle.value - stake.idle_entry
            active_j += self._active.value - stake.active_entry if stake.pooled else 0.0
        return Earned(active_j, idle_j, stake.standing_j)

    def expected(self, stake: Stake, until_ns: int) -> Earned | None:
        """What a request will have earned by an instant after the last window's end, at the
        power of the windows before; None where that is not known.
        """
        earned = self.earned(stake)
        since_ns = max(self.closed_ns or 0, stake.account.started_ns)
        ahead_s = seconds(max(0, until_ns - since_ns))
        if self._busy_w is None or self.closed_ns is None:
            return earned if stake.first_window and not ahead_s else None
        share_s = ahead_s / max(1, self._idle.members + (not stake.running))
        idle_w = (self.idle.watts or 0.0) * self._policy.shares_idle
        return Earned(
            earned.active_j + self._busy_w * share_s,
            earned.idle_j + idle_w * share_s,
            earned.standing_j,
        )

    def said(self, stake: Stake) -> frozenset[str]:
        """The flags of the device and of the windows that a request has touched."""
        touched = (flag for flag, last in self._said_last.items() if last >= stake.first_window)
        ended = not stake.running
        short = {flags.SHORT} if ended and stake.first_window == stake.last_window else ()
        return self.device.flags.union(touched, short)

    def provenance_of(self, stake: Stake) -> Provenance:
        """How well the energy of a request is known, up to the last window's end."""
        if not stake.first_window or self._known_windows <= stake.known_before:
            return "unknown"
        if self.provenance == "measured" and self._prorated_last >= stake.first_window:
            return "prorated"
        return self.provenance

    def write_off(self, stake: Stake, paid: Earned) -> None:
        """A request was settled before it ended here: what it earned since is nobody's."""
        earned, totals = self.earned(stake), self._totals
        totals.active_j -= earned.active_j - paid.active_j
        totals.idle_j -= earned.idle_j - paid.idle_j
        totals.standing_charged_j -= earned.standing_j - paid.standing_j
        totals.unattributed_j += sum(earned) - sum(paid)

    def balance(self) -> DeviceBalance:
        """The books up to the last window's end."""
        totals = self._totals
        return DeviceBalance(
            component=self.device.component,
            name=self.device.name,
            provenance=self.provenance,
            measured_j=totals.measured_j,
            requests_active_j=totals.active_j + self._active.outstanding,
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

    def _due(self, end_ns: int) -> list[Event]:
        """The events of this window, in order; later ones stay."""
        self._pending.sort(key=itemgetter(0))
        count = bisect_right(self._pending, end_ns, key=itemgetter(0))
        due, self._pending = self._pending[:count], self._pending[count:]
        return due

    def _shift_late(self, due: list[Event], start_ns: int) -> list[Event]:
        """Requests that ended before this window and are told of in it, because a thread
        was held up, count in it for as long as they ran: they are not free.
        """
        shifted = []
        for event in due:
            late = event.kind >= Kind.END and event.at_ns < start_ns
            if late and not event.stake.first_window:
                ran_ns = event.at_ns - event.stake.account.started_ns
                event = event._replace(at_ns=start_ns + ran_ns)
            shifted.append(event)
        shifted.sort(key=itemgetter(0))
        return shifted

    def _observe_idle(self, window: Window, timeline: Timeline) -> None:
        if window.energy_j is None or window.gap or timeline.busy_ns:
            return
        limit_s = QUIET_BUSY_SHARE * self.device.capacity * window.duration_s
        if (window.busy_s or 0.0) <= limit_s:
            self.idle.observe(window.energy_j / window.duration_s, window.duration_s)

    def _note(self, window: Window, timeline: Timeline) -> None:
        """Remembers what the receipts of the requests in this window must say."""
        said = set(window.flags)
        self._known_before = self._known_windows
        if window.energy_j is not None and not window.gap:
            self._known_windows += 1
            self.provenance = window.provenance
            self.power_w = window.energy_j / window.duration_s
            said.update({self.idle.flag} if self.idle.flag else ())
        for flag in said:
            self._said_last[flag] = self._windows
        if timeline.visits != 1 or timeline.quiet_ns:
            self._prorated_last = self._windows

    def _book(self, window: Window, split: Split, timeline: Timeline) -> None:
        if window.energy_j is not None and timeline.busy_ns:
            self._busy_w = split.requests_j / seconds(timeline.busy_ns)
        totals = self._totals
        totals.measured_j += window.energy_j or 0.0
        totals.other_j += split.other_j
        totals.unattributed_j += split.unattributed_j
        if self.idle.watts is None:
            totals.unsplit_j += split.requests_j

    def _charge_standing(self, split: Split, marks: list[Mark], timeline: Timeline) -> None:
        """Puts the idle energy of quiet time into the pool, and lets arrivals draw on it."""
        joules_per_ns = _idle_per_ns(split, timeline)
        arrivals = (mark for mark in marks if mark.event.kind == Kind.ARRIVE)
        pooled_ns = 0
        for _, group in groupby(arrivals, key=lambda mark: mark.event.at_ns):
            together = list(group)
            self._pool(joules_per_ns * (together[0].quiet_ns - pooled_ns))
            pooled_ns = together[0].quiet_ns
            self._draw(together)
        self._pool(joules_per_ns * (timeline.quiet_ns - pooled_ns))
        if not self._policy.shares_idle:
            self._totals.pool_j += joules_per_ns * timeline.busy_ns

    def _pool(self, joules: float) -> None:
        self._totals.pool_j += joules
        self._totals.standing_j += joules

    def _draw(self, arrivals: list[Mark]) -> None:
        first, totals = arrivals[0], self._totals
        drawn_j = self._policy.draw(
            totals.pool_j, first.event.at_ns, len(arrivals), first.running == 0
        )
        totals.pool_j -= drawn_j
        totals.standing_charged_j += drawn_j
        for mark in arrivals:
            mark.event.stake.standing_j += drawn_j / len(arrivals)

    def _share(self, window: Window, split: Split, marks: list[Mark], timeline: Timeline) -> None:
        """Gives the requests their shares of what is active and of what is idle."""
        active_per_ns = self._weigh(window, split.requests_j, timeline)
        idle_per_ns = _idle_per_ns(split, timeline) if self._policy.shares_idle else 0.0
        for mark in marks:
            step = STEP_IN_FLIGHT[mark.event.kind]
            if step > 0:
                self._enter(mark, active_per_ns * mark.pool_ns, idle_per_ns * mark.share_ns)
            elif step < 0:
                self._leave(mark, active_per_ns * mark.pool_ns, idle_per_ns * mark.share_ns)
            mark.event.stake.last_window = self._windows
        self._active.rise(active_per_ns * timeline.pool_ns)
        self._idle.rise(idle_per_ns * timeline.share_ns)

    def _weigh(self, window: Window, requests_j: float, timeline: Timeline) -> float:
        """Pays for requests' own work; returns joules per nanosecond of an equal share."""
        pool_busy_s = seconds(timeline.pool_busy_ns)
        work = WindowWork(window, requests_j, pool_busy_s, timeline.cpu_s)
        shares = self.weights.weigh(work)
        weight = shares.shared * pool_busy_s + sum(shares.own.values())
        if weight <= 0:
            self._totals.unattributed_j += requests_j
            return 0.0
        for stake, own in shares.own.items():
            stake.active_j += requests_j * own / weight
            self._totals.active_j += requests_j * own / weight
        return requests_j * shares.shared / weight / NS_PER_S

    def _enter(self, mark: Mark, active_j: float, idle_j: float) -> None:
        event = mark.event
        stake = event.stake
        if event.kind == Kind.ARRIVE:
            stake.first_window = self._windows
            stake.known_before = self._known_before
        stake.running, stake.pooled = True, event.cpu_ns is None
        stake.idle_entry = self._idle.enter(idle_j)
        if stake.pooled:
            stake.active_entry = self._active.enter(active_j)

    def _leave(self, mark: Mark, active_j: float, idle_j: float) -> None:
        stake = mark.event.stake
        stake.running = False
        earned_j = self._idle.leave(idle_j, stake.idle_entry)
        stake.idle_j += earned_j
        self._totals.idle_j += earned_j
        if stake.pooled:
            earned_j = self._active.leave(active_j, stake.active_entry)
            stake.active_j += earned_j
            self._totals.active_j += earned_j


def _idle_per_ns(split: Split, timeline: Timeline) -> float:
    window_ns = timeline.busy_ns + timeline.quiet_ns
    return split.idle_j / window_ns if window_ns else 0.0
