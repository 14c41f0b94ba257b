"""The processes whose work is a tracker's own: this one, and those that an agent measures for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

__all__ = ["are_own", "changes", "join", "leave"]

_joined: Counter[int] = Counter()
_changes = 0


def join(pid: int) -> None:
    """A process is one of them from now on."""
    global _changes
    _joined[pid] += 1
    _changes += 1


def leave(pid: int) -> None:
    """A process is none of them any more."""
    global _changes
    _joined[pid] -= 1
    if _joined[pid] <= 0:
        del _joined[pid]
    _changes += 1


def are_own(pids: Iterable[int]) -> bool:
    """Whether any of these is one of them."""
    return any(pid == os.getpid() or pid in _joined for pid in pids)


def changes() -> int:
    """How often they have changed."""
    return _changes
