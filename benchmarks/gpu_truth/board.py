"""The one GPU that is measured, by NVML itself and not by the tracker's own source."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.gpu_truth.counter import call_cost
from benchmarks.gpu_truth.marks import Mark
from inferprint._config import visible_gpus
from inferprint.flags import MIG_SHARED


class NotHere(Exception):
    """What the benchmark needs and this machine lacks, and what mends it."""

    def __init__(self, why: str, mend: str) -> None:
        super().__init__(f"{why}. {mend}")


class Board:
    """The energy counter of a GPU, and what else NVML says of it.

    Args:
        nvml: the module pynvml, initialised.
        handle: the board's.
    """

    component = "gpu"
    steps = True

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def read(self) -> Mark:
        """The counter, at the instant right before the call."""
        at_ns = time.monotonic_ns()
        return Mark(at_ns, self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3)

    def about(self) -> dict[str, object]:
        """Name, driver and power limit; None: NVML does not tell."""
        nvml, handle = self._nvml, self._handle
        limit_mw = self._told(lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle))
        return {
            "name": self._told(lambda: nvml.nvmlDeviceGetName(handle)),
            "driver": self._told(nvml.nvmlSystemGetDriverVersion),
            "power_limit_w": None if limit_mw is None else limit_mw / 1e3,
        }

    def processes(self) -> list[int]:
        """The processes that compute on it; empty too where NVML does not tell."""
        running = self._nvml.nvmlDeviceGetComputeRunningProcesses
        return [process.pid for process in self._told(lambda: running(self._handle)) or ()]

    def call_costs(self, times: int) -> dict[str, Mapping[str, float] | None]:
        """What NVML's calls take; None: the board or the driver does not have it."""
        return {
            name: None if self._told(call) is None else call_cost(call, times)
            for name, call in self._calls().items()
        }

    def _calls(self) -> dict[str, Callable[[], Any]]:
        nvml, handle = self._nvml, self._handle
        instant = [nvml.NVML_FI_DEV_POWER_INSTANT]
        return {
            "energy_counter": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle),
            "instant_power": lambda: nvml.nvmlDeviceGetFieldValues(handle, instant),
            "utilisation": lambda: nvml.nvmlDeviceGetUtilizationRates(handle),
            "running_processes": lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle),
        }

    def _told(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._nvml.NVMLError:
            return None


@contextlib.contextmanager
def the_board() -> Iterator[Board]:
    """The one board that CUDA_VISIBLE_DEVICES leaves, with nothing else running on it.

    Raises:
        NotHere: there is none, or several, or it has no counter, is shared or is in use.
    """
    import pynvml as nvml

    uuid = _only_uuid()
    nvml.nvmlInit()
    try:
        board = Board(nvml, nvml.nvmlDeviceGetHandleByUUID(uuid))
        _check(nvml, board)
        yield board
    finally:
        nvml.nvmlShutdown()


def _only_uuid() -> str:
    from inferprint.sources import nvml

    sources, findings = nvml.detect(visible_gpus())
    devices = [device for source in sources for device in source.devices()]
    for source in sources:
        source.close()
    if not devices:
        why = "; ".join(f"{finding.why}. {finding.mend}".strip(". ") for finding in findings)
        raise NotHere(
            f"there is no NVIDIA GPU here that can be read ({why})",
            "It needs one of Volta's generation or later, its driver, and a torch built for CUDA. "
            "--cpu-rehearsal runs the whole path on the CPU, and says nothing of a GPU.",
        )
    if len(devices) > 1:
        raise NotHere(f"{len(devices)} GPUs are visible", "Name one: CUDA_VISIBLE_DEVICES=0")
    if MIG_SHARED in devices[0].flags:
        raise NotHere(
            "the GPU is divided by MIG, and its counter is the whole board's",
            "Use one that is not: sudo nvidia-smi -i 0 -mig 0",
        )
    return devices[0].id


def _check(nvml: Any, board: Board) -> None:
    try:
        board.read()
    except nvml.NVMLError as error:
        raise NotHere(
            f"the GPU has no energy counter ({error})", "It needs Volta's generation or later."
        ) from error
    check_alone(board)


def check_alone(board: Board) -> None:
    """Raises ``NotHere`` where other processes compute on the board."""
    if pids := board.processes():
        raise NotHere(
            f"other processes compute on the GPU: {', '.join(map(str, pids))}",
            "End them: what they use can't be told from what the requests use.",
        )
