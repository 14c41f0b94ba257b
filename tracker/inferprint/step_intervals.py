"""What is known of the period and the phase of a counter's steps.

Both are intervals, narrowed by every step that is seen (set-membership estimation: Milanese
and Vicino, Automatica 27, 1991); jitter is a slack on them that grows when they contradict
each other.
"""

from __future__ import annotations

MS = 1_000_000
# Slack: what a first contradiction adds, how it grows and shrinks, its limit in periods.
SLACK_NS = 0.25 * MS
SLACK_GROWS = 2.0
SLACK_SHRINKS = 0.98
SLACK_LIMIT_PERIODS = 0.1
VAGUE_FROM = 0.8


class StepIntervals:
    """Where steps lie, as intervals in nanoseconds, from those that were located.

    Args:
        low_ns, high_ns: where the last located step lies.
        period_low_ns, period_high_ns: between which the period lies.
    """

    def __init__(
        self, low_ns: float, high_ns: float, period_low_ns: float, period_high_ns: float
    ) -> None:
        self.period_low_ns, self.period_high_ns = period_low_ns, period_high_ns
        self.slack_ns = 0.0
        # Steps that were seen where they were due, since the last that was not.
        self.confirmed = 0
        self._low_ns, self._high_ns = low_ns, high_ns
        self._reference = (low_ns, high_ns)
        self._since_reference = 0

    @property
    def period_ns(self) -> float:
        """The middle of where the period lies."""
        return (self.period_low_ns + self.period_high_ns) / 2

    @property
    def last_ns(self) -> float:
        """The middle of where the last located step lies."""
        return (self._low_ns + self._high_ns) / 2

    @property
    def vague(self) -> bool:
        """Whether steps are hardly ever where they are due: another period would explain it."""
        return self.slack_ns >= VAGUE_FROM * SLACK_LIMIT_PERIODS * self.period_ns

    def due(self, steps: int) -> tuple[float, float]:
        """Where the step that many after the last one lies."""
        low_ns = self._low_ns + steps * self.period_low_ns - self.slack_ns
        high_ns = self._high_ns + steps * self.period_high_ns + self.slack_ns
        return low_ns, high_ns

    def locate(self, steps: int, low_ns: float, high_ns: float) -> float:
        """A step was seen between two instants; returns where it is taken to be."""
        due_low_ns, due_high_ns = self.due(steps)
        if high_ns < due_low_ns or low_ns > due_high_ns:
            self.contradict()
        else:
            low_ns, high_ns = max(low_ns, due_low_ns), min(high_ns, due_high_ns)
            self.slack_ns *= SLACK_SHRINKS
            self.confirmed += 1
        self._low_ns, self._high_ns = low_ns, high_ns
        self._narrow_period(steps)
        return self.last_ns

    def assume(self, steps: int) -> float:
        """A step was not seen; returns where it is taken to be."""
        self._low_ns, self._high_ns = self.due(steps)
        self._since_reference += steps
        return self.last_ns

    def contradict(self) -> None:
        """A step was not where it was due: less is known than it seemed."""
        self.confirmed = 0
        limit_ns = SLACK_LIMIT_PERIODS * self.period_ns
        self.slack_ns = min(limit_ns, self.slack_ns * SLACK_GROWS + SLACK_NS)
        self._reference, self._since_reference = (self._low_ns, self._high_ns), 0
        self.period_low_ns -= SLACK_NS / 4
        self.period_high_ns += SLACK_NS / 4

    def _narrow_period(self, steps: int) -> None:
        self._since_reference += steps
        low_ns, high_ns = self._reference
        count = self._since_reference
        slack_ns = self.slack_ns
        shortest_ns = (self._low_ns - high_ns - slack_ns) / count
        longest_ns = (self._high_ns - low_ns + slack_ns) / count
        if max(shortest_ns, self.period_low_ns) > min(longest_ns, self.period_high_ns):
            self.contradict()
            return
        self.period_low_ns = max(shortest_ns, self.period_low_ns)
        self.period_high_ns = min(longest_ns, self.period_high_ns)
