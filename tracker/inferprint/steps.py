"""When to look at a counter that advances in steps, so that a window closes on a step.

A counter that steps every 100 ms, read blindly ten times a second, shows none, one or two
steps a window. So the period and the phase of its steps are learned, and each window is
closed at the instant of a step, found by looking just before and just after it is due.

Pure: it is told what was seen and says when to look next.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from inferprint.step_intervals import MS, StepIntervals
from inferprint.ticks import Ticks

# Learning the steps: how often to look, what to have seen, how long to try, when again.
SEEK_EVERY_NS = 2 * MS
SEEK_STEPS = 3
BEGIN_WITHIN_NS = 150 * MS
SEEK_AT_LEAST_NS = 250 * MS
SEEK_AT_MOST_NS = 700 * MS
SEEK_AGAIN_NS = 30_000 * MS
SEEK_PAUSE_NS = 5_000 * MS
# A look comes this much earlier or later than the interval in which a step is due.
MARGIN_NS = 0.3 * MS
# An interval wider than this is halved by a look in its middle.
HALVE_ABOVE_NS = 1.0 * MS
# A step that is due in a narrower interval, of a counter without jitter, is not looked for but
# taken to be there, and the counter is read with all others, at a multiple of the interval;
# after so many in a row one is looked for all the same.
TRUST_AFTER = 10
TRUST_FOR = 50
STEADY_NS = 0.01 * MS
# Counters that can't be read with all others are read at multiples of this.
TOGETHER_NS = 5 * MS
# Looks for a step that is late, and steps missed in a row until all is learned anew.
LATE_LOOKS = 3
MISSES = 4
# A window that is this many times as long as wanted closes wherever it is read.
OVERDUE = 2.5


class StepClock:
    """Follows the steps of one counter.

    Args:
        interval_ns: wanted length of a window.
        ticks: when all sources are read together; None: at multiples of the interval.
    """

    def __init__(self, interval_ns: int, ticks: Ticks | None = None) -> None:
        self._ticks = ticks or Ticks(interval_ns)
        # Whether it is looked at on its own because it may step at the next tick.
        self.beside = False
        self.next_look_ns = 0
        # Whether the last window closed where the counter really was at the value read: on a
        # step, or while it stood still or advances all the time.
        self.sharp = False
        self.steps: StepIntervals | None = None
        self._interval_ns = interval_ns
        self._mode: Callable[[int, int, bool], int | None] = self._begin
        self._seen: tuple[int, float] = (0, 0.0)
        self._closed_ns = 0
        self._seek_from_ns = 0
        self._seek_again_ns: int | None = None
        self._still = self._steady = self._began = False
        self._changes: list[tuple[int, int]] = []
        self._looks = 0
        self._ahead = 1
        self._based = self._based_late = False
        self._late_looks = 0
        self._misses = 0
        self._trusted = 0

    def look(self, at_ns: int, energy_j: float) -> int | None:
        """Takes what a look has shown, and sets ``next_look_ns``.

        Args:
            at_ns: when the counter was read.
            energy_j: what it showed.

        Returns:
            The instant at which a window closes with this reading; None: none closes.
        """
        before_ns, before_j = self._seen
        self._seen = (at_ns, energy_j)
        self.sharp = True
        closes_ns = self._mode(before_ns, at_ns, energy_j != before_j)
        if closes_ns is None or closes_ns <= self._closed_ns:
            if at_ns - self._closed_ns <= OVERDUE * self._interval_ns:
                return None
            self.sharp = False
            closes_ns = at_ns
        self._closed_ns = closes_ns
        return closes_ns

    # ---- learning ------------------------------------------------------------------------

    def _begin(self, before_ns: int, at_ns: int, changed: bool) -> int | None:
        """Waits for a step, so that what is counted begins there."""
        self.next_look_ns = at_ns + SEEK_EVERY_NS
        if not before_ns:
            self._closed_ns = self._seek_from_ns = at_ns
            return None
        if not changed and at_ns - self._seek_from_ns < BEGIN_WITHIN_NS:
            return None
        self._seek(at_ns)
        return (before_ns + at_ns) // 2 if changed else at_ns

    def _seek(self, at_ns: int) -> None:
        self._mode, self.steps = self._seeking, None
        self._seek_from_ns, self._changes, self._looks = at_ns, [], 0
        self.next_look_ns = at_ns + SEEK_EVERY_NS

    def _seeking(self, before_ns: int, at_ns: int, changed: bool) -> int | None:
        self.next_look_ns = at_ns + SEEK_EVERY_NS
        self._looks += 1
        if changed:
            self._changes.append((before_ns, at_ns))
        sought_ns = at_ns - self._seek_from_ns
        too_long = sought_ns >= SEEK_AT_MOST_NS
        long_enough = at_ns - self._closed_ns >= 0.75 * self._interval_ns
        closes_ns = (before_ns + at_ns) // 2 if changed and long_enough else None
        if len(self._changes) >= SEEK_STEPS and sought_ns >= SEEK_AT_LEAST_NS:
            if self._advances_always(sought_ns / self._looks):
                return self._go_blind(at_ns, again=False)
            steps = self._learned()
            if too_long or self._sure(steps):
                self.steps, self._mode, self._misses = steps, self._following, 0
                self._began = False
                if closes_ns is not None:
                    return self._close(steps, closes_ns, at_ns)
                self._aim(steps, at_ns)
                return None
        if too_long:
            return self._go_blind(at_ns, again=True)
        return closes_ns

    def _middles_ns(self) -> list[float]:
        return [(low_ns + high_ns) / 2 for low_ns, high_ns in self._changes]

    def _apart_ns(self) -> float:
        """The median time between the steps that were seen."""
        apart = sorted(after - before for before, after in pairwise(self._middles_ns()))
        return apart[len(apart) // 2]

    def _advances_always(self, look_every_ns: float) -> bool:
        return self._apart_ns() < 2 * look_every_ns

    def _learned(self) -> StepIntervals:
        """What the steps that were seen say of period and phase."""
        first, last = self._changes[0], self._changes[-1]
        middles = self._middles_ns()
        count = max(1, round((middles[-1] - middles[0]) / self._apart_ns()))
        shortest_ns, longest_ns = (last[0] - first[1]) / count, (last[1] - first[0]) / count
        return StepIntervals(*last, shortest_ns, longest_ns)

    def _sure(self, steps: StepIntervals) -> bool:
        """Whether the step at a window's end is known to within a part of a period."""
        low_ns, high_ns = steps.due(max(1, round(self._interval_ns / steps.period_ns)))
        return high_ns - low_ns <= steps.period_ns / 4

    def _lose(self, at_ns: int) -> None:
        """The steps are lost: they are learned anew, if that was not done just before."""
        if at_ns - self._seek_from_ns >= SEEK_PAUSE_NS:
            self._seek(at_ns)
        else:
            self._go_blind(at_ns, again=True)
            self._seek_again_ns = self._seek_from_ns + SEEK_PAUSE_NS

    def _go_blind(self, at_ns: int, *, again: bool) -> int:
        """No steps to follow: windows close where they are read."""
        self._mode, self._still = self._blind, not (self._changes or self._began)
        self._steady = self._still or not again
        self.sharp = self._steady
        self._seek_again_ns = at_ns + SEEK_AGAIN_NS if again else None
        self.next_look_ns = at_ns + self._interval_ns
        return at_ns

    def _blind(self, _before_ns: int, at_ns: int, changed: bool) -> int:
        self.next_look_ns += self._interval_ns
        if self.next_look_ns <= at_ns:
            self.next_look_ns = at_ns + self._interval_ns
        self.sharp = self._steady
        # A counter that stood still has begun to advance; a slow one seems to, at each step.
        begins = changed and self._still
        self._began |= begins
        if begins or (self._seek_again_ns is not None and at_ns >= self._seek_again_ns):
            self._seek(at_ns)
        return at_ns

    # ---- following -----------------------------------------------------------------------

    def _following(self, before_ns: int, at_ns: int, changed: bool) -> int | None:
        steps = self.steps
        assert steps is not None
        if not self._based:
            return self._base(steps, at_ns)
        low_ns, high_ns = steps.due(self._ahead)
        next_step_ns = steps.due(self._ahead + 1)[0]
        if changed and at_ns < next_step_ns:
            self._misses = self._trusted = 0
            return self._close(steps, steps.locate(self._ahead, before_ns, at_ns), at_ns)
        if changed or (self._based_late and at_ns > high_ns):
            # A look came late, and what it missed must have been where it was due.
            return self._coast(steps, at_ns)
        if at_ns < high_ns:
            self.next_look_ns = round(high_ns + MARGIN_NS)
            return None
        return self._late(steps, at_ns, high_ns - low_ns)

    def _base(self, steps: StepIntervals, at_ns: int) -> int | None:
        """The first look at a step that is due: whatever changes after it is that step."""
        low_ns, high_ns = steps.due(self._ahead)
        self._based, self._based_late = True, at_ns > low_ns
        if at_ns > high_ns:
            return self._coast(steps, at_ns)
        halve = high_ns - low_ns > HALVE_ABOVE_NS and not self._based_late
        self.next_look_ns = round((low_ns + high_ns) / 2 if halve else high_ns + MARGIN_NS)
        return None

    def _late(self, steps: StepIntervals, at_ns: int, width_ns: float) -> int | None:
        """The step is late, or it was early."""
        if self._late_looks >= LATE_LOOKS:
            return self._miss(steps, at_ns)
        self._late_looks += 1
        wait_ns = max(MS, width_ns) * self._late_looks
        self.next_look_ns = round(at_ns + min(wait_ns, steps.period_ns / 8))
        return None

    def _miss(self, steps: StepIntervals, at_ns: int) -> int | None:
        self._misses += 1
        if self._misses >= MISSES:
            self._lose(at_ns)
            return None
        steps.contradict()
        return self._coast(steps, at_ns)

    def _coast(self, steps: StepIntervals, at_ns: int) -> int:
        """The last step before now was not seen: it is taken to be where it was due."""
        self._trusted += 1
        passed = int((at_ns - steps.last_ns) // steps.period_ns)
        return self._close(steps, steps.assume(max(passed, self._ahead)), at_ns)

    def _close(self, steps: StepIntervals, closes_ns: float, at_ns: int) -> int:
        self._closed_ns, closed_before_ns = round(closes_ns), self._closed_ns
        self._aim(steps, at_ns)
        self._closed_ns = closed_before_ns
        return round(closes_ns)

    def _aim(self, steps: StepIntervals, at_ns: int) -> None:
        """At the step that ends a window of about the wanted length, later than now."""
        self.beside = False
        wanted_ns = self._closed_ns + self._interval_ns - steps.last_ns
        possible = int((at_ns + MARGIN_NS - steps.due(0)[0]) // steps.period_low_ns) + 1
        self._ahead = max(1, round(wanted_ns / steps.period_ns), possible)
        low_ns, high_ns = steps.due(self._ahead)
        if high_ns - low_ns > steps.period_ns / 2:
            self._lose(at_ns)  # too little is known of where it is
            return
        if steps.vague and at_ns - self._seek_from_ns >= SEEK_AGAIN_NS:
            self._seek(at_ns)
            return
        self._late_looks = 0
        # With no step between, the look that closed the last window is the first look.
        halve = high_ns - low_ns > HALVE_ABOVE_NS
        self._based, self._based_late = self._ahead == 1 and halve, False
        if self._based:
            self.next_look_ns = round((low_ns + high_ns) / 2)
        elif halve or self._trusted >= TRUST_FOR or not self._steady_steps(steps):
            self.next_look_ns = round(low_ns - MARGIN_NS)
        else:
            self._trust(steps, at_ns, high_ns)

    def _steady_steps(self, steps: StepIntervals) -> bool:
        return steps.confirmed >= TRUST_AFTER and steps.slack_ns <= STEADY_NS

    def _trust(self, steps: StepIntervals, at_ns: int, high_ns: float) -> None:
        """Reads the counter with all others, unless it may step just then."""
        tick_ns = self._ticks.after(at_ns)
        # Of steps that have surely been by then, the last; counted from after the known one.
        from_ns = steps.due(0)[1] + MARGIN_NS
        ahead = int((tick_ns - from_ns) // steps.period_high_ns)
        if steps.last_ns + ahead * steps.period_ns < self._closed_ns + self._interval_ns / 2:
            tick_ns += self._interval_ns  # no step by then that would end a window
            ahead = int((tick_ns - from_ns) // steps.period_high_ns)
        self.beside = ahead < 1 or tick_ns >= steps.due(ahead + 1)[0] - MARGIN_NS
        if not self.beside:
            self._ahead, self.next_look_ns = ahead, tick_ns
            return
        # Soon after the step, and together with other counters that step at about that time.
        look_ns = round(high_ns + MARGIN_NS)
        together_ns = -(-look_ns // TOGETHER_NS) * TOGETHER_NS
        before_ns = steps.due(self._ahead + 1)[0] - MARGIN_NS
        self.next_look_ns = together_ns if together_ns < before_ns else look_ns
