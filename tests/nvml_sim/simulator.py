"""The controller of the stand-in library: it writes the file that the library reads."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from nvml_sim import state
from nvml_sim.build import built

ENV = "INFERPRINT_NVML_SIM"
NS_PER_S = 1_000_000_000
LOST = 15  # NVML_ERROR_GPU_IS_LOST


@dataclass(frozen=True)
class SimGpu:
    """A board, as it is at first.

    Args:
        power_w: its power until ``set_power``.
        name: the product's name.
        uuid: "" for one that is made from its index.
        step_ms: its energy counter advances at multiples of this; 0: all the time.
        phase_ms: when, after such a multiple.
        counter_j: what its energy counter says at first.
        mig: number of MIG instances; None: MIG is off.
    """

    power_w: float = 100.0
    name: str = "NVIDIA H100 80GB HBM3"
    uuid: str = ""
    step_ms: float = 100.0
    phase_ms: float = 0.0
    counter_j: float = 0.0
    mig: int | None = None


class Simulator:
    """GPUs, a driver, and a library that says what they do.

    Power is piecewise constant; energy is its integral since the simulator began, and the
    library computes it for the instant at which it is asked, on the same monotonic clock.

    Args:
        gpus: the boards.
        without: names of functions that the library lacks.
    """

    def __init__(self, *gpus: SimGpu, without: Collection[str] = ()) -> None:
        folder = Path(tempfile.mkdtemp(prefix="nvml-sim-"))
        self._folder: Path | None = folder
        self.path = folder / "state"
        self.path.write_bytes(bytes(ctypes.sizeof(state.State)))
        self._open()
        self._library = built(frozenset(without))
        for gpu in gpus or (SimGpu(),):
            self._add(gpu)
        self._state.driver_epoch = 1
        self._state.driver_loaded = 1

    @classmethod
    def attach(cls) -> Simulator:
        """The simulator that this process was started with."""
        self = cls.__new__(cls)
        self._folder = None
        self.path = Path(os.environ[ENV])
        self._open()
        return self

    def _open(self) -> None:
        with self.path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._state = state.State.from_buffer(self._map)

    def close(self) -> None:
        """Lets go of the file, and removes it if it was made here."""
        del self._state
        self._map.close()
        if self._folder is not None:
            shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for a process that is to see these GPUs."""
        return {
            ENV: str(self.path),
            "INFERPRINT_LOCK_FOLDER": str(self.path.parent / "locks"),
            "LD_LIBRARY_PATH": _first("LD_LIBRARY_PATH", self._library.parent),
            "PYTHONPATH": _first("PYTHONPATH", Path(__file__).parents[1]),
        }

    def uuid(self, gpu: int) -> str:
        """The UUID of a board."""
        return self._state.gpus[gpu].uuid.decode()

    def mig_uuid(self, gpu: int, instance: int) -> str:
        """The UUID of a MIG instance of a board."""
        return self._state.gpus[gpu].mig_uuids[instance].value.decode()

    def set_power(self, gpu: int, watts: float) -> int:
        """Sets a board's power from now on; gives the instant, in monotonic nanoseconds."""
        at_ns = time.monotonic_ns()
        self._change(gpu, at_ns, self.true_energy_j(gpu, at_ns), watts)
        return at_ns

    def true_energy_j(self, gpu: int, at_ns: int | None = None) -> float:
        """Joules that a board has used since the simulator began, at an instant or now."""
        at_ns = time.monotonic_ns() if at_ns is None else at_ns
        board = self._state.gpus[gpu]
        oldest = max(0, board.changes - state.HISTORY_MAX)
        index = board.changes - 1
        while index > oldest and board.history[index % state.HISTORY_MAX].at_ns > at_ns:
            index -= 1
        last = board.history[index % state.HISTORY_MAX]
        return last.energy_j + last.power_w * (at_ns - last.at_ns) / NS_PER_S

    def set_processes(self, gpu: int, sm_percent: Mapping[int, int]) -> None:
        """Says which processes use a board, by pid, and how much of its SMs."""
        board = self._state.gpus[gpu]
        for slot, (pid, percent) in zip(board.processes, sm_percent.items(), strict=False):
            slot.pid, slot.sm_percent = pid, percent
        board.process_count = len(sm_percent)

    def calls(self, function: str) -> int:
        """How often a function was called, by every process and on every board."""
        return self._state.calls[state.NUMBER[function]]

    def fail(self, function: str, error: int, gpu: int | None = None) -> None:
        """Makes a function return an NVML error on one board or everywhere; 0 ends it."""
        where = self._state if gpu is None else self._state.gpus[gpu]
        where.errors[state.NUMBER[function]] = error

    def slow(self, function: str, seconds: float) -> None:
        """Makes a function take a time."""
        self._state.delay_us[state.NUMBER[function]] = round(seconds * 1e6)

    def lose(self, gpu: int, error: int = LOST) -> None:
        """Makes every call on a board return an error, as when it falls off the bus."""
        self._state.gpus[gpu].status = error

    def find(self, gpu: int) -> None:
        """Ends what ``lose`` began."""
        self._state.gpus[gpu].status = 0

    def reset_counter(self, gpu: int) -> None:
        """Sets a board's energy counter to 0."""
        self._state.gpus[gpu].counter_offset_j = self.true_energy_j(gpu)

    def unload_driver(self) -> None:
        """Takes the driver away: nothing works, and handles are never valid again."""
        self._state.driver_loaded = 0

    def load_driver(self) -> None:
        """Loads the driver anew: the counters begin at 0, and nvmlInit works again."""
        self.unload_driver()
        for gpu in range(self._state.gpu_count):
            self.reset_counter(gpu)
        self._state.driver_epoch += 1
        self._state.driver_loaded = 1

    def _add(self, gpu: SimGpu) -> None:
        index = self._state.gpu_count
        board = self._state.gpus[index]
        board.name = gpu.name.encode()
        board.uuid = (gpu.uuid or f"GPU-{index:08x}-0000-0000-0000-000000000000").encode()
        board.step_ns = round(gpu.step_ms * 1e6)
        board.phase_ns = round(gpu.phase_ms * 1e6)
        board.counter_offset_j = -gpu.counter_j
        board.mig_mode = gpu.mig is not None
        board.mig_count = gpu.mig or 0
        for instance in range(board.mig_count):
            uuid = f"MIG-{index:08x}-0000-0000-{instance:04x}-000000000000"
            board.mig_uuids[instance].value = uuid.encode()
        self._change(index, time.monotonic_ns(), 0.0, gpu.power_w)
        self._state.gpu_count += 1

    def _change(self, gpu: int, at_ns: int, energy_j: float, power_w: float) -> None:
        board = self._state.gpus[gpu]
        slot = board.history[board.changes % state.HISTORY_MAX]
        slot.at_ns, slot.energy_j, slot.power_w = at_ns, energy_j, power_w
        board.changes += 1  # last: the library reads no slot that is not yet counted


def _first(variable: str, folder: Path) -> str:
    """The folders of a variable, with one more before them."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))
