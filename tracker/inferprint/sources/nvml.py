"""NVIDIA GPUs, through NVML: one source a board, so that each is read on its own schedule."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inferprint.errors import ReadingError
from inferprint.flags import DEVICE_SHARED, MIG_SHARED
from inferprint.records import Device, Reading
from inferprint.sources import _nvml_findings as findings
from inferprint.sources._nvml_boards import Board, list_boards, select
from inferprint.sources._nvml_meters import Meter, find_meter
from inferprint.sources._nvml_usage import ProcessUsage
from inferprint.sources.claims import Claim, holder
from inferprint.sources.findings import Finding
from inferprint.sources.gpu_idle import tabled_idle_w
from inferprint.units import NS_PER_S

__all__ = ["NvmlSource", "detect"]

# Boards differ by ± 5 % in the gain of their power sensor: Yang, Adamek, Armour, "Part-time
# Power Measurements: nvidia-smi's Lack of Attention", arXiv:2312.02741; SC'24.
GAIN_ERROR = 0.05
# A100 and H100 sample a quarter of the time (ibid.); what that misses depends on the load. This
# is a guess of ours, replaced by what windows show.
NOISE = 0.02

RETRY_NS = 1 * NS_PER_S

_ALONE, _SHARED = frozenset[str](), frozenset({DEVICE_SHARED})


class NvmlSource:
    """One NVIDIA board. NVML must be initialised when it is made; it is a user of it until closed.

    While the board can't be read every ``read`` raises, and at most once a second NVML is
    initialised again and the board looked up by its UUID: it comes back by itself when the
    board or the driver does. A child process does the same before its first reading.

    Args:
        nvml: the module pynvml.
        board: the board, as detected.
        meter: how its energy is read.
        claim: finds other trackers that read the board; None: they are not looked for.

    Raises:
        NVMLError: NVML can't be initialised.
    """

    def __init__(self, nvml: Any, board: Board, meter: Meter, claim: Claim | None = None) -> None:
        nvml.nvmlInit()
        self._holds_nvml = True
        self._nvml = nvml
        self._board = board
        self._handle = board.handle
        self._meter = meter
        self._device = _device(board, meter)
        self._pid = os.getpid()
        self._usage = ProcessUsage(nvml)
        self._claim = claim
        self._retry_ns = 0
        self._fault = "", ""

    def devices(self) -> Sequence[Device]:
        """The board."""
        return [self._device]

    def read(self) -> Sequence[Reading]:
        """The board's energy, and whose work it did where the driver tells.

        The instant is taken right before the call, because Python may be held up after it.

        Raises:
            ReadingError: it can't be read just now; ``kind`` is ``lost``, ``driver``,
                ``permission``, ``unsupported``, ``timeout``, ``absent`` or ``error``.
        """
        if self._handle is None or self._pid != os.getpid():
            self._reopen()
        at_ns = time.monotonic_ns()
        try:
            energy_j = self._meter.joules(self._handle, at_ns)
        except self._nvml.NVMLError as error:
            raise self._lose(error) from error
        busy_s, own_s = self._usage.at(self._handle, at_ns)
        return [Reading(self._device.id, at_ns, energy_j, "measured", busy_s, own_s)]

    def says(self) -> frozenset[str]:
        """``device_shared`` while another tracker of this host reads the board too."""
        claim = self._claim
        is_shared = claim is not None and claim.shared(time.monotonic_ns())
        return _SHARED if is_shared else _ALONE

    def close(self) -> None:
        """Lets go of NVML, which counts its users, and of the board."""
        if self._claim is not None:
            self._claim.close()
        self._let_go()

    def _let_go(self) -> None:
        self._handle = None
        # The NVML that a child inherits is its parent's to shut down.
        if self._holds_nvml and self._pid == os.getpid():
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
        self._holds_nvml = False

    def _reopen(self) -> None:
        if self._pid != os.getpid():
            self._forget_parent()
        now_ns = time.monotonic_ns()
        if now_ns < self._retry_ns:
            raise ReadingError(*self._fault)
        self._retry_ns = now_ns + RETRY_NS
        try:
            self._nvml.nvmlInit()
            self._holds_nvml = True
            self._handle = self._find()
        except self._nvml.NVMLError as error:
            raise self._lose(error) from error

    def _forget_parent(self) -> None:
        self._let_go()
        self._pid = os.getpid()
        self._usage = ProcessUsage(self._nvml)
        self._retry_ns = 0

    def _find(self) -> Any:
        if self._board.uuid:
            with contextlib.suppress(self._nvml.NVMLError_FunctionNotFound):
                return self._nvml.nvmlDeviceGetHandleByUUID(self._board.uuid)
        return self._nvml.nvmlDeviceGetHandleByIndex(self._board.index)

    def _lose(self, error: Exception) -> ReadingError:
        """Lets go of NVML too: it begins anew only when all its users have let go."""
        kind, mend = findings.fault(error)
        message = f"NVML can't read {self._device.name} ({self._device.id}): {error}. {mend}"
        self._fault = message.strip(), kind
        self._meter.interrupt()
        self._usage.interrupt()
        self._let_go()
        return ReadingError(*self._fault)


def _device(board: Board, meter: Meter) -> Device:
    tabled = tabled_idle_w(board.name)
    return Device(
        id=board.id,
        component="gpu",
        name=findings.board_name(board),
        step_s=meter.step_s,
        relative_error=GAIN_ERROR,
        noise=NOISE,
        average_s=meter.average_s,
        tabled_idle_w=tabled[0] if tabled else None,
        flags=frozenset() if board.mig is None else frozenset({MIG_SHARED}),
        aliases=tuple(filter(None, board.mig or ())),
    )


def detect(
    visible: str | None, max_gap_s: float = 2.0, locks: Path | None = None
) -> tuple[list[NvmlSource], list[Finding]]:
    """The NVIDIA boards that this process may use, and what was found of each.

    It raises nothing for a driver or a board that is missing or broken: that is a finding.

    Args:
        visible: the value of CUDA_VISIBLE_DEVICES; None: not set.
        max_gap_s: for boards without an energy counter, the longest time between readings
            over which their power is integrated; longer ones are left out.
        locks: the folder of locks by which trackers find each other; None: they do not.

    Returns:
        A source for each board that can be read, to be closed by the caller, and the findings.
    """
    import pynvml as nvml

    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return [], [findings.no_driver(error)]
    try:
        return _detect(nvml, visible, max_gap_s, locks)
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _detect(
    nvml: Any, visible: str | None, max_gap_s: float, locks: Path | None
) -> tuple[list[NvmlSource], list[Finding]]:
    boards = list_boards(nvml)
    selection = select(visible, boards)
    sources: list[NvmlSource] = []
    found = list(findings.hidden(visible, selection, boards))
    for board in selection.boards:
        try:
            meter = _meter(nvml, board, max_gap_s)
            claim = None if locks is None else Claim(locks, board.id)
            sources.append(NvmlSource(nvml, board, meter, claim))
        except nvml.NVMLError as error:
            found.append(findings.unreadable(board, error))
        else:
            other = None if locks is None else holder(locks, board.id)
            found.append(findings.measured(board, meter, selection, boards, other))
    return sources, found


def _meter(nvml: Any, board: Board, max_gap_s: float) -> Meter:
    if board.fault is not None:
        raise board.fault
    return find_meter(nvml, board.handle, max_gap_s)
