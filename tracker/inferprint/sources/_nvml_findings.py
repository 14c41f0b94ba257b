"""What NVML's errors mean, and what detection tells of each board in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from inferprint.sources._nvml_boards import Board, Selection
from inferprint.sources._nvml_meters import Meter
from inferprint.sources.claims import MEND, said_of
from inferprint.sources.findings import Finding, FindingStatus

__all__ = ["board_name", "fault", "hidden", "measured", "no_driver", "unreadable"]

# By nvmlReturn_t of the NVML API Reference; any other is "error".
KINDS = {
    1: "driver",  # UNINITIALIZED
    2: "driver",  # INVALID_ARGUMENT: a handle from before a reload
    3: "unsupported",  # NOT_SUPPORTED
    4: "permission",  # NO_PERMISSION
    6: "lost",  # NOT_FOUND: no board has this UUID any more
    9: "driver",  # DRIVER_NOT_LOADED
    10: "timeout",  # TIMEOUT
    12: "absent",  # LIBRARY_NOT_FOUND
    13: "unsupported",  # FUNCTION_NOT_FOUND
    15: "lost",  # GPU_IS_LOST
    16: "lost",  # RESET_REQUIRED
    18: "driver",  # LIB_RM_VERSION_MISMATCH
    28: "lost",  # GPU_NOT_FOUND
}
MENDS = {
    "absent": "install NVIDIA's driver; in a container, start it with: docker run --gpus all",
    "driver": "look at: nvidia-smi; load it with: sudo modprobe nvidia; after an upgrade, reboot",
    "lost": "sudo nvidia-smi --gpu-reset, or reboot; the reason is in: sudo dmesg | grep NVRM",
    "permission": "sudo chmod a+rw /dev/nvidiactl /dev/nvidia[0-9]*",
}


def fault(error: Any) -> tuple[str, str]:
    """The kind of an NVMLError, one word, and the command that mends it where there is one."""
    kind = KINDS.get(error.value, "error")
    return kind, MENDS.get(kind, "")


def board_name(board: Board) -> str:
    """The product's name, and that it is shared where it is."""
    if board.mig is None:
        return board.name
    return f"{board.name} (whole board, shared by {len(board.mig)} MIG instances)"


def no_driver(error: Any) -> Finding:
    """NVML could not be started."""
    kind, mend = fault(error)
    if kind == "absent":
        return _general("absent", "no NVIDIA driver library (libnvidia-ml.so.1) is here", mend)
    return _general("unreadable", f"NVIDIA's driver does not answer: {error}", mend)


def hidden(visible: str | None, selection: Selection, boards: Sequence[Board]) -> Iterator[Finding]:
    """There is no board, or CUDA_VISIBLE_DEVICES ends at a name that no board has."""
    if not boards:
        yield _general("absent", "the NVIDIA driver lists no GPU", "")
    elif selection.stopped_at is not None:
        why = (
            f"CUDA_VISIBLE_DEVICES={visible!r} (or NVIDIA_VISIBLE_DEVICES) ends at "
            f"{selection.stopped_at!r}, which names no GPU: {len(selection.boards)} of "
            f"{len(boards)} are visible"
        )
        yield _general("absent", why, "name GPUs as they are listed by: nvidia-smi -L")


def unreadable(board: Board, error: Any) -> Finding:
    """A board that tells neither energy nor power."""
    why = f"NVML gives neither its energy nor its power: {error}"
    return Finding("nvml", board.id, "gpu", board_name(board), "unreadable", why, fault(error)[1])


def measured(
    board: Board,
    meter: Meter,
    selection: Selection,
    boards: Sequence[Board],
    other: int | None = None,
) -> Finding:
    """A board that is read, how, and what its figures do not tell.

    Args:
        board: the board.
        meter: how its energy is read.
        selection: the boards that are visible.
        boards: all of them.
        other: the process whose tracker reads it already, 0 where that is not told; None: none.
    """
    why, mend = meter.what, ""
    if board.mig is not None:
        why += "; it counts the whole board: the energy of one MIG instance can't be told apart"
    if selection.by_index and len({other.name for other in boards}) > 1:
        why += (
            "; chosen by index among different GPUs, which CUDA counts fastest first and NVML "
            "by PCI bus, so it may be another than CUDA's"
        )
        mend = "export CUDA_DEVICE_ORDER=PCI_BUS_ID, or name GPUs by UUID: nvidia-smi -L"
    if other is not None:
        why += "; " + said_of(other)
        mend = mend or MEND
    return Finding("nvml", board.id, "gpu", board_name(board), "measured", why, mend)


def _general(status: FindingStatus, why: str, mend: str) -> Finding:
    return Finding("nvml", "", "gpu", "NVIDIA GPU", status, why, mend)
