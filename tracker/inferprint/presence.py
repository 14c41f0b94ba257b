"""Who is in flight in a window of one device, for how long, and whose work is followed.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inferprint.learning.own import Part
from inferprint.stakes import END, END_PAUSED, PAUSE, RESUME, Stake
from inferprint.units import NS_PER_S

if TYPE_CHECKING:
    from inferprint.books import Account
    from inferprint.timeline import Mark

Present = dict["Account", Part[Stake] | None]
"""Requests, each with its part in what is learned, once its work is followed."""


class Presence:
    """Follows the starts and ends.

    Args:
        place: where an account's stakes have the one in this device.
    """

    def __init__(self, place: int) -> None:
        self._place = place
        self._running: Present = {}
        # Those that wait for a child, which go on with the part that they had.
        self._paused: Present = {}

    def take_in(
        self, marks: Sequence[Mark], start_ns: int, end_ns: int
    ) -> tuple[Present, Mapping[str, float]]:
        """Follows the starts and ends of a window.

        Returns:
            The requests in flight in it, which is not those that end as it begins or come as
            it ends; and the integral over it of the number in flight, by model, in seconds.
        """
        running, paused = self._running, self._paused
        present, length_ns = running.copy(), end_ns - start_ns
        counts = Counter([account.model for account in running])
        sums_ns = {model: count * length_ns for model, count in counts.items()}
        for at_ns, kind, account, _, _, _, _, _, _, _ in marks:
            model, left_ns = account.model, end_ns - at_ns
            if kind <= RESUME:
                sums_ns[model] = sums_ns.get(model, 0) + left_ns
                part = paused.pop(account, None) if kind == RESUME else None
                running[account] = part
                if at_ns < end_ns:
                    present[account] = part
                continue
            part = running.pop(account, None)
            if kind == END_PAUSED:
                part = paused.pop(account, None)
            else:
                sums_ns[model] = sums_ns.get(model, 0) - left_ns
                if kind == PAUSE:
                    paused[account] = part
            if kind >= END and at_ns <= start_ns:
                present.pop(account, None)
            else:
                present[account] = part
        return present, {model: sum_ns / NS_PER_S for model, sum_ns in sums_ns.items()}

    def parts(self, present: Present) -> Sequence[Part[Stake]]:
        """The parts of those whose work is known."""
        parts = list[Part[Stake]]()
        for account, known in present.items():
            part = known
            if part is None:
                if account.progress is None:
                    continue
                part = self._new(account)
            parts.append(part)
        return parts

    def _new(self, account: Account) -> Part[Stake]:
        assert account.progress is not None
        part = Part(account.stakes[self._place], account.model, account.progress)
        if account in self._running:
            self._running[account] = part
        elif account in self._paused:
            self._paused[account] = part
        return part

    def staying(self, present: Present) -> Sequence[Account]:
        """Those in flight in a window that are so at its end."""
        return [account for account in self._running if account in present]
