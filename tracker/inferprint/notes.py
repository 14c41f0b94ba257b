"""What receipts must say of the windows that a request has touched, on one device."""

from __future__ import annotations

from inferprint import flags
from inferprint.records import Device, Provenance
from inferprint.stakes import Since, Stake, Verdict
from inferprint.timeline import Span
from inferprint.weights import LEARNED_WORK
from inferprint.windows import Window

SHORT = frozenset({flags.SHORT})


class Notes:
    """Remembers of every kind of window when there last was one, counted from 1.

    A request has touched one of a kind if there was one since its first.

    Args:
        device: gives the flags that all receipts have.
        method: the rule of attribution of windows that were not weighed by what was learned.
    """

    def __init__(self, device: Device, method: str) -> None:
        self._device = device
        self._method = method
        self._windows = 0
        # Windows of known energy, and those of them before the last window.
        self._known = self._known_before = 0
        self._modelled_last = self._prorated_last = 0
        # The last window that was weighed by what was learned, and the last but for this one.
        self._learned_last = self._learned_before = 0
        self._said_last: dict[str, int] = {}
        # What is said of those that end in the last window, by their first one and by whether
        # they have no part in the last: the same of many.
        self._verdicts: dict[tuple[int, bool], Verdict] = {}

    def begin(self) -> None:
        """The device is read for the first time: requests before it are not covered whole."""
        self._count()
        self._prorated_last = self._windows

    def add(self, window: Window, span: Span, idle_flag: str | None) -> None:
        """A window closes.

        Args:
            window: the window.
            span: the requests in it.
            idle_flag: what its idle power asks for.
        """
        self._count()
        self._known_before, self._learned_before = self._known, self._learned_last
        known = window.energy_j is not None and not window.gap
        if known:
            self._known += 1
            if window.provenance == "modelled":
                self._modelled_last = self._windows
        for flag in window.flags:
            self._said_last[flag] = self._windows
        if known and idle_flag is not None:
            self._said_last[idle_flag] = self._windows
        whole = known and not span.quiet_ns and span.alone
        if not whole or window.provenance == "prorated":
            self._prorated_last = self._windows

    def _count(self) -> None:
        self._windows += 1
        self._verdicts.clear()

    def learned(self) -> None:
        """The window was weighed by what was learned."""
        self._learned_last = self._windows
        self._verdicts.clear()

    def since(self, at_end: bool) -> Since:
        """For a request that comes; one that comes as the window closes has no part in it."""
        if at_end:
            return Since(self._windows + 1, self._known)
        return Since(self._windows, self._known_before)

    def verdict(self, since: Since, before_last: bool) -> Verdict:
        """What is said of a request and does not change any more.

        Args:
            since: its first window.
            before_last: it has no part in the last window.
        """
        key = since.first_window, before_last
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = self._verdict(since, before_last)
        return verdict

    def _verdict(self, since: Since, before_last: bool) -> Verdict:
        said = self._said_since(since)
        known = self._known_before if before_last else self._known
        learned_last = self._learned_before if before_last else self._learned_last
        return Verdict(
            self._provenance(since, known),
            said | SHORT if since.first_window >= self._windows else said,
            self._method_since(since, learned_last),
        )

    def said(self, stake: Stake) -> frozenset[str]:
        """The flags of the device and of the windows that a request has touched so far."""
        verdict = stake.verdict
        return self._said_since(stake.since) if verdict is None else verdict.said

    def _said_since(self, since: Since) -> frozenset[str]:
        said = self._device.flags
        for flag, last in self._said_last.items():
            if last >= since.first_window:
                said = said | {flag}
        return said

    def provenance_of(self, stake: Stake) -> Provenance:
        """How well the energy of a request is known, up to its end or the last window's."""
        verdict = stake.verdict
        return self._provenance(stake.since, self._known) if verdict is None else verdict.provenance

    def _provenance(self, since: Since, known_windows: int) -> Provenance:
        if not since.first_window or known_windows <= since.known_before:
            return "unknown"
        if self._modelled_last >= since.first_window:
            return "modelled"
        return "prorated" if self._prorated_last >= since.first_window else "measured"

    def method_of(self, stake: Stake) -> str:
        """The rule by which a request's active energy is shared; what was learned, if that
        weighed any of its windows.
        """
        verdict = stake.verdict
        if verdict is not None:
            return verdict.method
        return self._method_since(stake.since, self._learned_last)

    def _method_since(self, since: Since, learned_last: int) -> str:
        learned = since.first_window and learned_last >= since.first_window
        return LEARNED_WORK if learned else self._method
