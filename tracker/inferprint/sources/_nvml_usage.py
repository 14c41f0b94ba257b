"""Whose work a board does: GPU utilisation by process, looked at about once a second."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import psutil

from inferprint.sources import kin
from inferprint.sources.host import sees_host_pids
from inferprint.units import NS_PER_S

__all__ = ["ProcessUsage"]

POLL_NS = 1 * NS_PER_S
RARE_POLL_NS = 10 * NS_PER_S
SLOW_CALL_NS = 2_000_000


class ProcessUsage:
    """Busy seconds of one board: everybody's, and those of this process and its children.

    The driver says what each process used of the SMs since it was last asked. That rate is
    held until the next look, so the seconds lag by up to one look, and two processes that
    take turns within it are told apart only on average. A look is taken every second, or
    every ten where two in a row took over 2 ms or this process is not recognised.

    NVML tells the pids of the host (Project-HAMi/HAMi-core#112). In a container this process
    cannot know its own, so its part is unknown until a look shows its pid, as with
    ``--pid=host`` or in drivers that translate. Descendants count as its own: engines run the
    model in a child process. So do those of an agent's workers.

    Args:
        nvml: the module pynvml, initialised.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._recognised = sees_host_pids()
        self._supported = True
        self._kin: dict[int, bool] = {}
        self._kin_changes = kin.changes()
        self._last_seen_us = 0
        self._next_look_ns = 0
        self._slow_looks = 0
        self._at_ns: int | None = None
        self._busy_s = self._own_s = 0.0
        self._busy_rate: float | None = None
        self._own_rate: float | None = None

    def at(self, handle: Any, at_ns: int) -> tuple[float | None, float | None]:
        """Busy seconds so far, everybody's and own, at ``at_ns``; None: not known."""
        if not self._supported:
            return None, None
        self._hold(at_ns)
        if at_ns >= self._next_look_ns:
            self._look(handle, at_ns)
        return (
            None if self._busy_rate is None else self._busy_s,
            None if self._own_rate is None else self._own_s,
        )

    def interrupt(self) -> None:
        """The board could not be read: no rate is held until the next reading."""
        self._at_ns = None

    def _hold(self, at_ns: int) -> None:
        if self._at_ns is not None:
            elapsed_s = (at_ns - self._at_ns) / NS_PER_S
            self._busy_s += (self._busy_rate or 0.0) * elapsed_s
            self._own_s += (self._own_rate or 0.0) * elapsed_s
        self._at_ns = at_ns

    def _look(self, handle: Any, at_ns: int) -> None:
        began_ns = time.monotonic_ns()
        shares = self._shares(handle)
        # One alone may be this process that had to wait for a CPU.
        slow = time.monotonic_ns() - began_ns > SLOW_CALL_NS
        self._slow_looks = self._slow_looks + 1 if slow else 0
        if self._kin_changes != kin.changes():
            self._kin_changes = kin.changes()
            self._kin = {}
        self._kin = {pid: self._is_kin(pid) for pid in shares or ()}
        self._recognised |= any(self._kin.values())
        self._busy_rate = self._own_rate = None
        if shares is not None:
            self._busy_rate = sum(shares.values())
            own = sum(share for pid, share in shares.items() if self._kin[pid])
            self._own_rate = own if self._recognised else None
        rare = self._slow_looks > 1 or not self._recognised
        self._next_look_ns = at_ns + (RARE_POLL_NS if rare else POLL_NS)

    def _shares(self, handle: Any) -> dict[int, float] | None:
        """The share of the SMs' time that each pid had since the last look."""
        nvml = self._nvml
        try:
            samples = nvml.nvmlDeviceGetProcessUtilization(handle, self._last_seen_us)
        except nvml.NVMLError as error:
            # pynvml raises SUCCESS where the driver has no sample to copy.
            if error.value in (nvml.NVML_SUCCESS, nvml.NVML_ERROR_NOT_FOUND):
                return {}
            refused = (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
            self._supported = error.value not in refused
            return None
        return self._sane(samples)

    def _sane(self, samples: Iterable[Any]) -> dict[int, float]:
        # Drivers fill spare places with pid 0 and with utilisations in the ten thousands
        # (Syllo/nvtop#110, NVIDIA/DCGM#83).
        sane = [sample for sample in samples if sample.pid and sample.smUtil <= 100]
        self._last_seen_us = max((sample.timeStamp for sample in sane), default=self._last_seen_us)
        return {sample.pid: sample.smUtil / 100 for sample in sane}

    def _is_kin(self, pid: int) -> bool:
        known = self._kin.get(pid)
        if known is not None:
            return known
        try:
            family = {pid, *(parent.pid for parent in psutil.Process(pid).parents())}
        except psutil.Error:
            return False
        return kin.are_own(family)
