"""AMD GPUs, through AMD's own package ``amdsmi`` (extra ``amd``): one source a board."""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inferprint.errors import ReadingError
from inferprint.flags import DEVICE_SHARED
from inferprint.records import Device, Reading
from inferprint.sources._nvml_meters import Meter, PowerIntegral
from inferprint.sources.claims import MEND, Claim, holder, said_of
from inferprint.sources.findings import Finding
from inferprint.units import MICROJOULES_PER_JOULE

__all__ = ["AmdSource", "detect", "load"]

# No study of the error of AMD's sensors was found; that of NVIDIA's (see ``nvml``) is used.
GAIN_ERROR = 0.05

# amdsmi_status_t of the AMD SMI API Reference; any other is "error".
KINDS = {
    2: "unsupported",  # NOT_SUPPORTED
    8: "timeout",  # TIMEOUT
    10: "permission",  # NO_PERM
    31: "lost",  # NOT_FOUND
    32: "driver",  # NOT_INIT
    34: "driver",  # DRIVER_NOT_LOADED
}
INSTALL = "pip install 'inferprint[amd]', of the version of ROCm that is installed"
RENDER = (
    "sudo usermod -aG render,video $USER; "
    "in a container: docker run --device /dev/kfd --device /dev/dri"
)

_ALONE, _SHARED = frozenset[str](), frozenset({DEVICE_SHARED})


class EnergyCounter:
    """The board's own counter; the driver says how many microjoules a count is."""

    what = "energy accumulator"
    step_s: float | None = None
    average_s = 0.0

    def __init__(self, smi: Any) -> None:
        self._smi = smi

    def joules(self, handle: Any, at_ns: int) -> float:
        told = self._smi.amdsmi_get_energy_count(handle)
        count = told["energy_accumulator"] if "energy_accumulator" in told else told["power"]
        return float(count * told["counter_resolution"] / MICROJOULES_PER_JOULE)

    def interrupt(self) -> None:
        pass  # the counter counts on


class AmdSource:
    """One AMD board.

    Args:
        smi: the module amdsmi, initialised.
        number: the board's place in its list.
        device: what it is.
        meter: how its energy is read.
        claim: finds other trackers that read the board; None: they are not looked for.
    """

    def __init__(
        self, smi: Any, number: int, device: Device, meter: Meter, claim: Claim | None = None
    ) -> None:
        self._smi, self._number, self._device = smi, number, device
        self._meter, self._claim = meter, claim
        self._handle = smi.amdsmi_get_processor_handles()[number]
        self._pid = os.getpid()

    def devices(self) -> Sequence[Device]:
        """The board."""
        return [self._device]

    def read(self) -> Sequence[Reading]:
        """The board's energy. Whose work it was is not known: AMD's driver counts no compute.

        Raises:
            ReadingError: it can't be read just now.
        """
        at_ns = time.monotonic_ns()
        try:
            if self._pid != os.getpid():
                self._begin_anew()
            return [Reading(self._device.id, at_ns, self._meter.joules(self._handle, at_ns))]
        except (self._smi.AmdSmiException, IndexError, ValueError) as error:
            self._meter.interrupt()
            message = f"amdsmi can't read {self._device.name} ({self._device.id}): {_said(error)}"
            raise ReadingError(message, _kind(error)) from error

    def _begin_anew(self) -> None:
        """In the child of a fork: what the library has opened is its parent's."""
        self._smi.amdsmi_init()
        self._handle = self._smi.amdsmi_get_processor_handles()[self._number]
        self._pid = os.getpid()

    def says(self) -> frozenset[str]:
        """``device_shared`` while another tracker of this host reads the board too."""
        claim = self._claim
        return _SHARED if claim is not None and claim.shared(time.monotonic_ns()) else _ALONE

    def close(self) -> None:
        """Gives the board up; the library stays initialised, as others may use it."""
        if self._claim is not None:
            self._claim.close()


def load() -> Any:
    """The module amdsmi, initialised; None: it is not installed.

    Raises:
        OSError: its library is not there, is of another version, or finds no driver.
    """
    # It prints where its library is not found, and fails in several ways where that is of another
    # version than it is.
    with contextlib.redirect_stdout(None):
        try:
            smi = importlib.import_module("amdsmi")
        except ModuleNotFoundError:
            return None
        except (ImportError, AttributeError, KeyError) as error:
            raise OSError(f"amdsmi can't be loaded: {error!r}") from error
    try:
        smi.amdsmi_init()
    except smi.AmdSmiException as error:
        raise OSError(_said(error)) from error
    return smi


def detect(
    smi: Any, visible: str | None, max_gap_s: float, locks: Path | None = None
) -> tuple[list[AmdSource], list[Finding]]:
    """The AMD boards that this process may use, and what was found of each.

    Args:
        smi: what ``load`` gave.
        visible: numbers of boards, as ``HIP_VISIBLE_DEVICES`` has them; None: all.
        max_gap_s: for boards without an energy counter, the longest time between readings over
            which their power is integrated.
        locks: as for ``nvml.detect``.
    """
    sources: list[AmdSource] = []
    found: list[Finding] = []
    for number in _selected(visible, len(smi.amdsmi_get_processor_handles())):
        device_id, name = _identity(smi, number)
        try:
            handle = smi.amdsmi_get_processor_handles()[number]
            meter = _find_meter(smi, handle, max_gap_s)
        except (smi.AmdSmiException, ValueError) as error:
            why = f"amdsmi gives neither its energy nor its power: {_said(error)}"
            mend = RENDER if _kind(error) == "permission" else ""
            found.append(Finding("amdsmi", device_id, "gpu", name, "unreadable", why, mend))
            continue
        device = Device(device_id, "gpu", name, relative_error=GAIN_ERROR)
        other = None if locks is None else holder(locks, device_id)
        why = meter.what if other is None else f"{meter.what}; {said_of(other)}"
        mend = "" if other is None else MEND
        found.append(Finding("amdsmi", device_id, "gpu", name, "measured", why, mend))
        claim = None if locks is None else Claim(locks, device_id)
        sources.append(AmdSource(smi, number, device, meter, claim))
    return sources, found


def absent(why: str, mend: str = INSTALL) -> Finding:
    """There is a driver, and no way to ask it."""
    return Finding("amdsmi", "", "gpu", "AMD GPU", "absent", why, mend)


def _selected(visible: str | None, count: int) -> list[int]:
    """An entry that names no board ends the list, as for HIP."""
    if visible is None:
        return list(range(count))
    chosen: dict[int, None] = {}
    for entry in (part.strip() for part in visible.split(",")):
        if not entry.isdecimal() or int(entry) >= count:
            break
        chosen[int(entry)] = None
    return list(chosen)


def _identity(smi: Any, number: int) -> tuple[str, str]:
    handle, device_id, name = smi.amdsmi_get_processor_handles()[number], f"amd:{number}", "AMD GPU"
    with contextlib.suppress(smi.AmdSmiException):
        device_id = smi.amdsmi_get_gpu_device_uuid(handle) or device_id
    with contextlib.suppress(smi.AmdSmiException, KeyError):
        name = smi.amdsmi_get_gpu_asic_info(handle)["market_name"] or name
    return device_id, name


def _find_meter(smi: Any, handle: Any, max_gap_s: float) -> Meter:
    """The counter; where it is not kept, the power.

    Of an MI250's two dies the second shows neither: the first has the power of both, as Zeus
    (ml-energy/zeus, ``zeus/device/gpu/amd.py``) has found.

    Raises:
        AmdSmiException, ValueError: there is neither.
    """
    counter = EnergyCounter(smi)
    with contextlib.suppress(smi.AmdSmiException):
        if counter.joules(handle, 0) > 0:
            return counter
    _power_w(smi, handle)
    what = "power, integrated"
    return PowerIntegral(what, lambda handle: _power_w(smi, handle), max_gap_s)


def _power_w(smi: Any, handle: Any) -> float:
    told = smi.amdsmi_get_power_info(handle)
    for name in ("current_socket_power", "average_socket_power"):
        watts = told.get(name)
        if isinstance(watts, int | float) and watts > 0:  # what is not there is "N/A"
            return float(watts)
    raise ValueError("it tells no power of its own, as the second die of a board")


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or repr(error)


def _kind(error: Exception) -> str:
    return KINDS.get(getattr(error, "err_code", -1), "error")
