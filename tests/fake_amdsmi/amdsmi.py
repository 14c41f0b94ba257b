"""A stand-in for AMD's package amdsmi, which needs AMD's driver: what of it is used, as its version
7.0 has it. Boards are moved by hand, or draw the same power at all times.
"""

from __future__ import annotations

import time
from typing import Any

RESOLUTION_UJ = 15.3
NOT_SUPPORTED, NO_PERM, NOT_INIT, DRIVER_NOT_LOADED = 2, 10, 32, 34


class AmdSmiException(Exception):
    pass


class AmdSmiLibraryException(AmdSmiException):
    def __init__(self, err_code: int) -> None:
        super().__init__(err_code)
        self.err_code = err_code

    def __str__(self) -> str:
        return f"Error code:\n\t{self.err_code} | AMDSMI_STATUS_{self.err_code}"


class Board:
    """A board.

    Args:
        uuid: its UUID; "" for one that does not tell.
        watts: its power.
        counter: whether it has an energy counter.
        old: whether the driver calls the counter by its name before 6.2.1.
        tells_power: whether it tells its power, as the second die of an MI250 does not.
    """

    def __init__(
        self,
        uuid: str = "e9ff74a1-0000-1000-8000-000000000000",
        watts: float = 300.0,
        counter: bool = True,
        old: bool = False,
        tells_power: bool = True,
    ) -> None:
        self.uuid, self.watts, self.counter, self.old = uuid, watts, counter, old
        self.tells_power = tells_power
        self.joules: float | None = None  # set by hand; None: by the power since the host began
        self.error = 0

    def energy_j(self) -> float:
        return self.watts * time.monotonic() if self.joules is None else self.joules


BOARDS = [Board()]
INIT_ERROR = 0
inits = 0


def amdsmi_init(flag: Any = None) -> None:
    global inits
    inits += 1
    if INIT_ERROR:
        raise AmdSmiLibraryException(INIT_ERROR)


def amdsmi_get_processor_handles() -> list[Any]:
    if not inits:
        raise AmdSmiLibraryException(NOT_INIT)
    return list(BOARDS)


def amdsmi_get_gpu_device_uuid(board: Board) -> str:
    if not board.uuid:
        raise AmdSmiLibraryException(NOT_SUPPORTED)
    return board.uuid


def amdsmi_get_gpu_asic_info(board: Board) -> dict[str, Any]:
    return {"market_name": "AMD Instinct MI300X", "vendor_id": 0x1002}


def amdsmi_get_energy_count(board: Board) -> dict[str, Any]:
    if board.error or not board.counter:
        raise AmdSmiLibraryException(board.error or NOT_SUPPORTED)
    count = round(board.energy_j() * 1e6 / RESOLUTION_UJ) if board.tells_power else 0
    name = "power" if board.old else "energy_accumulator"
    return {name: count, "counter_resolution": RESOLUTION_UJ, "timestamp": time.time_ns()}


def amdsmi_get_power_info(board: Board) -> dict[str, Any]:
    if board.error:
        raise AmdSmiLibraryException(board.error)
    watts: Any = round(board.watts) if board.tells_power else "N/A"
    return {"current_socket_power": "N/A", "average_socket_power": watts, "power_limit": 750}
