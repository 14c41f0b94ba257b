"""The file that the stand-in library and the tests share: its layout, in one place.

`nvml_sim.c` has the same layout; the sizes and the numbers of the functions are handed to the
compiler by `macros`, and it refuses to compile where the two differ.
"""

from __future__ import annotations

import ctypes

GPU_MAX = 8
MIG_MAX = 7
PROCESS_MAX = 16
HISTORY_MAX = 4096

FUNCTIONS = (
    "nvmlInitWithFlags",
    "nvmlShutdown",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetNVMLVersion",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetHandleByUUID",
    "nvmlDeviceGetIndex",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetProcessUtilization",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    # Not a function but a field of nvmlDeviceGetFieldValues, which can fail alone.
    "NVML_FI_DEV_POWER_INSTANT",
)
"""What can be counted, delayed and made to fail, by the name of its symbol."""

NUMBER = {name: number for number, name in enumerate(FUNCTIONS)}


class Change(ctypes.Structure):
    """A change of power: the true energy at that instant, and the power from then on."""

    _fields_ = (
        ("at_ns", ctypes.c_int64),
        ("energy_j", ctypes.c_double),
        ("power_w", ctypes.c_double),
    )


class Process(ctypes.Structure):
    """What one process does on a GPU."""

    _fields_ = (("pid", ctypes.c_uint32), ("sm_percent", ctypes.c_uint32))


class Gpu(ctypes.Structure):
    """A board; the comments on the fields are in `nvml_sim.c`."""

    _fields_ = (
        ("uuid", ctypes.c_char * 96),
        ("name", ctypes.c_char * 96),
        ("step_ns", ctypes.c_int64),
        ("phase_ns", ctypes.c_int64),
        ("counter_offset_j", ctypes.c_double),
        ("status", ctypes.c_int32),
        ("mig_mode", ctypes.c_int32),
        ("mig_count", ctypes.c_uint32),
        ("process_count", ctypes.c_uint32),
        ("mig_uuids", (ctypes.c_char * 96) * MIG_MAX),
        ("processes", Process * PROCESS_MAX),
        ("errors", ctypes.c_int32 * len(FUNCTIONS)),
        ("changes", ctypes.c_uint64),
        ("history", Change * HISTORY_MAX),
    )


class State(ctypes.Structure):
    """The whole file."""

    _fields_ = (
        ("gpu_count", ctypes.c_uint32),
        ("driver_loaded", ctypes.c_uint32),
        ("driver_epoch", ctypes.c_uint64),
        ("errors", ctypes.c_int32 * len(FUNCTIONS)),
        ("delay_us", ctypes.c_uint32 * len(FUNCTIONS)),
        ("calls", ctypes.c_uint64 * len(FUNCTIONS)),
        ("gpus", Gpu * GPU_MAX),
    )


def macros() -> dict[str, int]:
    """What the C side must be told."""
    sizes = {
        "GPU_MAX": GPU_MAX,
        "MIG_MAX": MIG_MAX,
        "PROCESS_MAX": PROCESS_MAX,
        "HISTORY_MAX": HISTORY_MAX,
        "FUNCTION_COUNT": len(FUNCTIONS),
        "SIZEOF_GPU": ctypes.sizeof(Gpu),
        "SIZEOF_STATE": ctypes.sizeof(State),
    }
    return sizes | {f"F_{name}": number for name, number in NUMBER.items()}
