"""What receipts must say of the windows that a request has touched, on one device."""

from __future__ import annotations

from inferprint import flags
from inferprint.records import Device, Provenance
from inferprint.stakes import Stake
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

    def begin(self) -> None:
        """The device is read for the first time: requests before it are not covered whole."""
        self._windows += 1
        self._prorated_last = self._windows

    def add(self, window: Window, span: Span, idle_flag: str | None) -> None:
        """A window closes.

        Args:
            window: the window.
            span: the requests in it.
            idle_flag: what its idle power asks for.
        """
        self._windows += 1
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
        whole = known and not span.quiet_ns and span.visits == 1
        if not whole or window.provenance == "prorated":
            self._prorated_last = self._windows

    def learned(self) -> None:
        """The window was weighed by what was learned."""
        self._learned_last = self._windows

    def arrive(self, stake: Stake, at_end: bool) -> None:
        """A request comes; one that comes as the window closes has no part in it."""
        stake.first_window = self._windows + at_end
        stake.known_before = self._known if at_end else self._known_before

    def fix(self, stake: Stake, before_last: bool) -> None:
        """What is said of a request does not change any more.

        Args:
            stake: the request's.
            before_last: it has no part in the last window.
        """
        said = self.said(stake)
        stake.said = said | SHORT if stake.first_window >= self._windows else said
        known = self._known_before if before_last else self._known
        stake.provenance = self._provenance(stake, known)
        learned_last = self._learned_before if before_last else self._learned_last
        stake.method = self._method_since(stake, learned_last)

    def said(self, stake: Stake) -> frozenset[str]:
        """The flags of the device and of the windows that a request has touched so far."""
        if stake.said is not None:
            return stake.said
        said = self._device.flags
        for flag, last in self._said_last.items():
            if last >= stake.first_window:
                said = said | {flag}
        return said

    def provenance_of(self, stake: Stake) -> Provenance:
        """How well the energy of a request is known, up to its end or the last window's."""
        if stake.provenance is not None:
            return stake.provenance
        return self._provenance(stake, self._known)

    def _provenance(self, stake: Stake, known_windows: int) -> Provenance:
        if not stake.first_window or known_windows <= stake.known_before:
            return "unknown"
        if self._modelled_last >= stake.first_window:
            return "modelled"
        return "prorated" if self._prorated_last >= stake.first_window else "measured"

    def method_of(self, stake: Stake) -> str:
        """The rule by which a request's active energy is shared; what was learned, if that
        weighed any of its windows.
        """
        if stake.method is not None:
            return stake.method
        return self._method_since(stake, self._learned_last)

    def _method_since(self, stake: Stake, learned_last: int) -> str:
        learned = stake.first_window and learned_last >= stake.first_window
        return LEARNED_WORK if learned else self._method
