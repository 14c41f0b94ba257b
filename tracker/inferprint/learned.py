"""Weights of work that are learned on line: equal shares of what anyone running costs, and
each request's own work by its tokens.

Until requests have told of tokens, and the windows have shown how much of the power is
their own work, the rule is equal shares of time in flight.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from inferprint.learning.hold import Hold
from inferprint.learning.learner import Learner, Part, Window
from inferprint.stakes import END, RESUME, STEP, Stake
from inferprint.units import seconds
from inferprint.weights import TIME_IN_FLIGHT, Prices, Shares, WindowWork

if TYPE_CHECKING:
    from inferprint.books import Account
    from inferprint.timeline import Mark

EQUAL = Shares(1.0, {})

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
        self._running: dict[Account, None] = {}
        # In flight at the last window's end and in that window: what is held is theirs.
        self._holders: list[Stake] = []

    def follow(self, marks: Sequence[Mark]) -> None:
        """Starts and ends before the first window."""
        for _, kind, account, *_ in marks:
            if kind <= RESUME:
                self._running[account] = None
            else:
                self._running.pop(account, None)

    def prices(self) -> Prices | None:
        """What work costs; None while own work is not told apart."""
        if not self.learner.model.identified:
            return None
        return Prices(*self.learner.prices())

    def weigh(self, work: WindowWork) -> Shares:
        """By what was learned before this window, which is then learned from."""
        place, window = self._place, work.window
        present = self._take_in(work)
        parts = [
            Part(account.stakes[place], account.model, account.progress)
            for account in present
            if account.progress is not None
        ]
        if not parts and not self._hold.held_j:
            return EQUAL
        holders = self._holders
        self._holders = [a.stakes[place] for a in present if a in self._running]
        ended = [mark[2].stakes[place] for mark in work.marks if mark[1] >= END]
        requests_s = self._requests_s(work)
        told_s = sum(requests_s[model] for model in {part.model for part in parts})
        if work.active_j is None or told_s < LEAST_TOLD * sum(requests_s.values()):
            self.learner.skip(seconds(window.end_ns), parts, ended)
            return self._equal(work, holders)
        split = self.learner.weigh(_window(work, work.active_j, requests_s), parts, ended)
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
            split.own_j,
            charged_j,
            learned=True,
            shared_error=split.shared_error,
            own_errors=split.own_errors,
            deviation_j=split.deviation_j,
            hold_s=self._hold.over_s,
        )

    def pass_over(self, work: WindowWork) -> Mapping[Stake, float]:
        """A window that another rule weighs; nothing is learned from it.

        Returns:
            What was held, in joules, by who used it.
        """
        before = list(self._running)
        self.follow(work.marks)
        parts = [
            Part(account.stakes[self._place], account.model, account.progress)
            for account in dict.fromkeys([*before, *(mark[2] for mark in work.marks)])
            if account.progress is not None
        ]
        ended = [mark[2].stakes[self._place] for mark in work.marks if mark[1] >= END]
        if parts:
            self.learner.skip(seconds(work.window.end_ns), parts, ended)
        holders, self._holders = self._holders, [a.stakes[self._place] for a in self._running]
        each_j = self._hold.release_j(0.0) / len(holders) if holders else 0.0
        return dict.fromkeys(holders, each_j) if each_j else {}

    def _equal(self, work: WindowWork, holders: Sequence[Stake]) -> Shares:
        """Equal shares, and of what was held too; where the window's energy is not known, of
        that alone, by those who used it: nothing may be known of the others.
        """
        if not self._hold.held_j:
            return EQUAL
        if work.active_j is None:
            return Shares(0.0, dict.fromkeys(holders, 1.0), self._hold.release_j(0.0))
        return Shares(1.0, {}, self._hold.release_j(work.active_j))

    def _take_in(self, work: WindowWork) -> Iterable[Account]:
        """Follows the starts and ends of a window.

        Returns:
            The requests in flight in it, which is not those that end as it begins or come as
            it ends.
        """
        present, running = dict(self._running), self._running
        start_ns, end_ns = work.window.start_ns, work.window.end_ns
        for mark in work.marks:
            at_ns, kind, account = mark[0], mark[1], mark[2]
            if kind <= RESUME:
                running[account] = None
                if at_ns < end_ns:
                    present[account] = None
            else:
                running.pop(account, None)
                if kind >= END and at_ns <= start_ns:
                    present.pop(account, None)
                else:
                    present[account] = None
        return present

    def _requests_s(self, work: WindowWork) -> dict[str, float]:
        """The integral of the number in flight over a window that was taken in, by model."""
        window = work.window
        running = Counter(account.model for account in self._running)
        requests_s = {model: count * window.duration_s for model, count in running.items()}
        for mark in work.marks:
            model, before_s = mark[2].model, seconds(mark[0] - window.start_ns)
            requests_s[model] = requests_s.get(model, 0.0) - STEP[mark[1]] * before_s
        return requests_s


def _window(work: WindowWork, active_j: float, requests_s: dict[str, float]) -> Window:
    window = work.window
    return Window(
        seconds(window.end_ns),
        window.duration_s,
        work.pool_busy_s,
        active_j,
        work.idle_j,
        requests_s,
    )
