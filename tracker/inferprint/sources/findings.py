"""What detection found: a line for every device that was looked for, usable or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "FindingStatus"]

FindingStatus = Literal["measured", "modelled", "unreadable", "absent"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One device, and whether there are joules for it.

    Args:
        source: the source that looked, such as ``rapl``.
        device: the device's id; empty where no device was found.
        component: ``gpu``, ``cpu`` or ``dram``.
        name: the product's name, for people.
        status: ``measured``, ``modelled``, ``unreadable`` (it is there, access failed) or
            ``absent``.
        why: one sentence: how it is read, or why it isn't.
        mend: the command or step that would improve it; empty where there is none.
    """

    source: str
    device: str
    component: str
    name: str
    status: FindingStatus
    why: str
    mend: str = ""
