"""The boards that NVML lists, and which of them CUDA_VISIBLE_DEVICES leaves visible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Board", "Selection", "list_boards", "select"]

# Tried one by one where the driver doesn't tell how many there are: more than any host has.
MOST_BOARDS = 64


@dataclass(frozen=True, slots=True)
class Board:
    """A GPU board as NVML lists it.

    Args:
        index: its place in NVML's order, which is that of the PCI bus.
        uuid: empty where NVML does not tell.
        name: the product's name.
        handle: NVML's handle; None where there was none to be had.
        fault: why there is no handle.
        mig: UUIDs of its MIG instances; None where MIG is off.
    """

    index: int
    uuid: str = ""
    name: str = "NVIDIA GPU"
    handle: Any = None
    fault: Exception | None = None
    mig: tuple[str, ...] | None = None

    @property
    def id(self) -> str:
        """The UUID, else the index."""
        return self.uuid or f"gpu:{self.index}"


@dataclass(frozen=True, slots=True)
class Selection:
    """The boards that a value of CUDA_VISIBLE_DEVICES leaves visible.

    Args:
        boards: the visible ones, in the order in which they are named.
        by_index: whether one of them was named by index.
        stopped_at: the entry that names no board, at which CUDA stops reading; None: none did.
    """

    boards: tuple[Board, ...]
    by_index: bool = False
    stopped_at: str | None = None


def select(visible: str | None, boards: Sequence[Board]) -> Selection:
    """The boards that CUDA_VISIBLE_DEVICES leaves visible.

    Args:
        visible: its value: indices, UUIDs (or the unique beginning of one), MIG UUIDs,
            separated by commas; empty hides all. None: it is not set, all are visible.
        boards: all that there are, in NVML's order.

    Returns:
        The boards, each once; a MIG instance stands for its board. An entry that names none
        ends the list: NVIDIA, "CUDA C++ Programming Guide", CUDA Environment Variables.
    """
    if visible is None:
        return Selection(tuple(boards))
    chosen: dict[int, Board] = {}
    by_index = False
    for entry in (part.strip() for part in visible.split(",")):
        board = _named(entry, boards)
        if board is None:
            return Selection(tuple(chosen.values()), by_index, entry)
        chosen[board.index] = board
        by_index |= entry.isdecimal()
    return Selection(tuple(chosen.values()), by_index)


def _named(entry: str, boards: Sequence[Board]) -> Board | None:
    if entry.isdecimal():
        return boards[int(entry)] if int(entry) < len(boards) else None
    if entry.startswith("MIG-GPU-"):  # drivers before R470: MIG-<board>/<GPU instance>/<compute>
        return _only(boards, lambda board: board.uuid == entry[len("MIG-") :].split("/")[0])
    if entry.startswith("MIG-"):
        return _only(boards, lambda board: entry in (board.mig or ()))
    if entry.startswith("GPU-"):
        return _only(boards, lambda board: board.uuid.startswith(entry))
    return None


def _only(boards: Sequence[Board], fits: Callable[[Board], bool]) -> Board | None:
    fitting = [board for board in boards if fits(board)]
    return fitting[0] if len(fitting) == 1 else None


def list_boards(nvml: Any) -> list[Board]:
    """All boards, also those that can't be reached: an index in CUDA counts them.

    Args:
        nvml: the module pynvml, initialised.
    """
    count = _or_none(nvml, nvml.nvmlDeviceGetCount)
    boards: list[Board] = []
    for index in range(MOST_BOARDS if count is None else count):
        try:
            boards.append(_board(nvml, index, nvml.nvmlDeviceGetHandleByIndex(index)))
        except nvml.NVMLError as error:
            if count is None:
                break
            boards.append(Board(index, fault=error))
    return boards


def _board(nvml: Any, index: int, handle: Any) -> Board:
    uuid = _or_none(nvml, nvml.nvmlDeviceGetUUID, handle)
    name = _or_none(nvml, nvml.nvmlDeviceGetName, handle)
    return Board(index, uuid or "", name or "NVIDIA GPU", handle, None, _mig(nvml, handle))


def _mig(nvml: Any, handle: Any) -> tuple[str, ...] | None:
    mode = _or_none(nvml, nvml.nvmlDeviceGetMigMode, handle)
    return tuple(_instances(nvml, handle)) if mode and mode[0] else None


def _instances(nvml: Any, handle: Any) -> Iterator[str]:
    for index in range(_or_none(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        instance = _or_none(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
        if instance is not None:  # places between instances are empty
            yield _or_none(nvml, nvml.nvmlDeviceGetUUID, instance) or ""


def _or_none(nvml: Any, call: Callable[..., Any], *args: Any) -> Any:
    """What an optional call says; None where this driver or this GPU does not have it."""
    try:
        return call(*args)
    except nvml.NVMLError:
        return None
