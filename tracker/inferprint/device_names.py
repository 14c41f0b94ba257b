"""Which devices a request means by the names that it gives.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, get_args

from inferprint.errors import ConfigError
from inferprint.records import Component, Device

__all__ = ["DeviceName", "Meant", "Naming", "checked_names", "places_of"]

# Lists of names whose meaning is remembered.
MOST_KNOWN = 1_000
# Before a name that nobody gave: there need not be such a device.
IF_THERE = "~"
DOCTOR = "They are listed by: inferprint doctor"

DeviceName = str | int
"""A device's id; a GPU's UUID, the unique beginning of one, or that of a MIG instance on it; the
number of a GPU, or ``cuda:`` and the number, as PyTorch counts those that are visible; or a
component, ``gpu``, ``cpu`` or ``dram``, for all of it."""

_CUDA = re.compile(r"(?:cuda|hip|gpu)(?::(\d+))?")


class Meant(NamedTuple):
    """What was meant.

    Args:
        places: of the devices, in the list of all.
        unknown: the names that are no device's.
    """

    places: frozenset[int]
    unknown: tuple[str, ...]


def checked_names(names: object) -> tuple[str, ...]:
    """Names of devices as texts; a device of PyTorch is one by its own text.

    Raises:
        ConfigError: they are no list.
    """
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        expected = "a list of device ids, GPU numbers or components, such as [0, 1] or ['cpu']"
        raise ConfigError("devices", names, expected, DOCTOR)
    return tuple(str(name) for name in names)


def places_of(names: Sequence[str], devices: Sequence[Device]) -> Meant:
    """The devices that serve a request which names these.

    A request is on the GPUs that it names and on no other. The host's CPUs and memory serve every
    request, so they are left out only where others of the same component are named.

    Args:
        names: as they were given.
        devices: all that are read, GPUs in the order in which this process sees them.
    """
    named, unknown = set[int](), list[str]()
    for name in names:
        places = _named(name.removeprefix(IF_THERE), devices)
        named |= places
        if not places and not name.startswith(IF_THERE):
            unknown.append(name)
    places = set[int]()
    for component in get_args(Component):
        of_it = {i for i, device in enumerate(devices) if device.component == component}
        places |= (named & of_it) or (set() if component == "gpu" else of_it)
    return Meant(frozenset(places), tuple(unknown))


def seen_from(names: tuple[str, ...] | None, visible: str | None) -> tuple[str, ...] | None:
    """What a process means that CUDA shows some GPUs alone, in words of one that sees all.

    Args:
        names: as a request gave them; None: it gave none.
        visible: what ``CUDA_VISIBLE_DEVICES`` is there; None: not set.

    Returns:
        The names; None: all devices.
    """
    if visible is None:
        return names
    shown = [entry for part in visible.split(",") if (entry := part.strip())]
    if names is None:
        return tuple(IF_THERE + entry for entry in shown)
    seen: list[str] = []
    for name in names:
        number = int(name) if name.isdecimal() else _number(name)
        if name == "gpu":
            seen += shown
        elif number is None:
            seen.append(name)
        else:
            seen.append(shown[number] if number < len(shown) else f"{name} of {visible!r}")
    return tuple(seen)


class Naming:
    """Remembers what was meant, so that a name costs little the second time.

    Args:
        devices: all that are read.
        refuse: told of each name that is no device's, once as long as its list is remembered.
    """

    def __init__(
        self,
        devices: Sequence[Device] = (),
        refuse: Callable[[ConfigError], None] = lambda error: None,
    ) -> None:
        self._devices, self._refuse = devices, refuse
        self._known: dict[tuple[str, ...], Meant] = {}

    def meant(self, names: tuple[str, ...]) -> Meant:
        """What is meant by these names."""
        known = self._known.get(names)
        if known is None:
            known = places_of(names, self._devices)
            if len(self._known) < MOST_KNOWN:
                self._known[names] = known
            for name in known.unknown:
                expected = "a device that is read here: it has no part in the receipt"
                self._refuse(ConfigError("devices", name, expected, DOCTOR))
        return known


def _named(name: str, devices: Sequence[Device]) -> set[int]:
    own = {i for i, one in enumerate(devices) if name == one.id or name in one.aliases}
    if own:
        return own
    if name in get_args(Component):
        return {i for i, device in enumerate(devices) if device.component == name}
    gpus = [i for i, device in enumerate(devices) if device.component == "gpu"]
    number = int(name) if name.isdecimal() else _number(name)
    if number is not None:
        return {gpus[number]} if number < len(gpus) else set()
    begun = {i for i in gpus if name and devices[i].id.startswith(name)}
    return begun if len(begun) == 1 else set()


def _number(name: str) -> int | None:
    found = _CUDA.fullmatch(name)
    return None if found is None else int(found[1] or 0)
