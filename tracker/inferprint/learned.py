"""Weights of work that are learned on line: equal shares of what anyone running costs, and
each request's own work by its tokens.

Until requests have told of tokens, and the windows have shown how much of the power is
their own work, the rule is equal shares of time in flight.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inferprint.learning.hold import Hold
from inferprint.learning.learner import Learner, Window
from inferprint.learning.own import Own
from inferprint.presence import Presence
from inferprint.stakes import Stake
from inferprint.units import seconds
from inferprint.weights import TIME_IN_FLIGHT, Prices, Shares, WindowWork

if TYPE_CHECKING:
    from inferprint.books import Account
    from inferprint.timeline import Mark

EQUAL = Shares(1.0)

LEAST_TOLD = 0.5
"""Share of the time in flight that must be of requests whose work is known, for a window to
be learned from and weighed by what was learned: the work of the others would be taken for
what anyone running costs."""


class Learned:
    """What ships for every device without a better rule of its own.

    Args:
        place: where an account's stakes have the one in this device.
        average_s: seconds over which its sensor averages.
    """

    method = TIME_IN_FLIGHT
    owns_threads = False

    def __init__(self, place: int = 0, average_s: float = 0.0) -> None:
        self.learner: Learner[Stake] = Learner(average_s=average_s)
        self._place = place
        self._hold = Hold()
        self._presence = Presence(place)
        # In flight at the last window's end and in that window: what is held is theirs.
        self._holders: Sequence[Account] = ()

    def follow(self, marks: Sequence[Mark]) -> None:
        """Starts and ends before the first window."""
        self._presence.take_in(marks, 0, 0)

    def prices(self) -> Prices | None:
        """What work costs; None while own work is not told apart."""
        if not self.learner.model.identified:
            return None
        return Prices(*self.learner.prices())

    def weigh(self, work: WindowWork) -> Shares:
        """By what was learned before this window, which is then learned from."""
        window = work.window
        present, requests_s = self._presence.take_in(work.marks, window.start_ns, window.end_ns)
        parts = self._presence.parts(present)
        if not parts and not self._hold.held_j:
            return EQUAL
        holders = self._holders
        self._holders = self._presence.staying(present)
        told_s = sum(requests_s[model] for model in {part.model for part in parts})
        if work.active_j is None or told_s < LEAST_TOLD * sum(requests_s.values()):
            self.learner.skip(seconds(window.end_ns), parts)
            return self._equal(work, holders)
        split = self.learner.weigh(_window(work, work.active_j, requests_s), parts)
        if not self.learner.model.identified:
            return self._equal(work, holders)
        charged_j = self._hold.charge_j(
            work.active_j,
            split.expected_j,
            split.deviation_j,
            window.duration_s,
            len(self._holders),
        )
        return Shares(
            split.shared_w,
            split.own,
            charged_j,
            learned=True,
            shared_error=split.shared_error,
            deviation_j=split.deviation_j,
            hold_s=self._hold.over_s,
        )

    def pass_over(self, work: WindowWork) -> Mapping[Stake, float]:
        """A window that another rule weighs; nothing is learned from it.

        Returns:
            What was held, in joules, by who used it.
        """
        window = work.window
        present, _ = self._presence.take_in(work.marks, window.start_ns, window.end_ns)
        if parts := self._presence.parts(present):
            self.learner.skip(seconds(window.end_ns), parts)
        holders, self._holders = self._holders, self._presence.staying(present)
        each_j = self._hold.release_j(0.0) / len(holders) if holders else 0.0
        return {one.stakes[self._place]: each_j for one in holders} if each_j else {}

    def _equal(self, work: WindowWork, holders: Sequence[Account]) -> Shares:
        """Equal shares, and of what was held too; where the window's energy is not known, of
        that alone, by those who used it: nothing may be known of the others.
        """
        if not self._hold.held_j:
            return EQUAL
        if work.active_j is None:
            stakes = [account.stakes[self._place] for account in holders]
            alike = Own(stakes, [1.0] * len(stakes))
            return Shares(0.0, [alike], self._hold.release_j(0.0))
        return Shares(1.0, (), self._hold.release_j(work.active_j))


def _window(work: WindowWork, active_j: float, requests_s: Mapping[str, float]) -> Window:
    window = work.window
    return Window(
        seconds(window.end_ns),
        window.duration_s,
        work.pool_busy_s,
        active_j,
        work.idle_j,
        requests_s,
    )
