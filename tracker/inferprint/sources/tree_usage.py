"""CPU time of all processes below one, the ended ones too."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil

from inferprint.sources.cpu_usage import CpuTimes, cpu_times

__all__ = ["TreeTimes"]

# In /proc/PID/stat, counted from what follows the name in brackets: user and system time of the
# process, and of those of its children that it has waited for, in clock ticks (proc(5)).
_FIRST, _LAST = 11, 15
_STARTED = 19


class TreeTimes:
    """The host's CPU times, with ``own_s`` those of the processes below this one, or of another
    process and those below it.

    A process that ends hands its time to whoever waits for it, and its parent is read before it, so
    that no time is counted twice. One that ends while the tree is read can be missed until the next
    reading; ``own_s`` then stands still. What ends unwaited for is lost, as it is to the kernel.

    Args:
        with_self: whether this process counts too.
        proc: where Linux shows processes.
        pid: the other process, which counts itself; None: those below this one.
    """

    def __init__(
        self, with_self: bool = False, proc: Path = Path("/proc"), pid: int | None = None
    ) -> None:
        self._with_self, self._proc, self._pid = with_self, proc, pid
        self._home = os.getpid()
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._own_s = 0.0
        self._started = None if pid is None else self._told(pid)[_STARTED:][:1]

    @property
    def runs(self) -> bool:
        """Whether the process is still there, and no other has its number."""
        if self._pid is None:
            return True
        started = self._told(self._pid)[_STARTED:][:1]
        return bool(started) and started == self._started

    def __call__(self) -> CpuTimes:
        """The times as they stand now."""
        return replace(cpu_times(), own_s=self.own_s())

    def own_s(self) -> float:
        """CPU seconds of them so far."""
        if self._home != os.getpid():  # forked: what was seen is of the parent's tree
            self._home, self._own_s = os.getpid(), 0.0
        if self._pid is None:
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            first_s, root = ended.ru_utime + ended.ru_stime, os.getpid()
            first_s += time.process_time() if self._with_self else 0.0
        else:
            first_s, root = self._cpu_s(self._pid), self._pid
        self._own_s = max(self._own_s, first_s + sum(map(self._cpu_s, self._below(root))))
        return self._own_s

    def _cpu_s(self, pid: int) -> float:
        return sum(map(int, self._told(pid)[_FIRST:_LAST])) * self._tick_s

    def _told(self, pid: int) -> list[str]:
        """What is told of a process, from the third field on; nothing, if it has ended."""
        try:
            text = (self._proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return text.rpartition(")")[2].split()

    def _below(self, pid: int) -> Iterator[int]:
        """The processes below one, each after its parent was read."""
        waiting = list(self._children(pid))
        while waiting:
            child = waiting.pop()
            yield child
            waiting += self._children(child)

    def _children(self, pid: int) -> list[int]:
        found: list[int] = []
        try:
            for task in os.listdir(self._proc / str(pid) / "task"):
                found += map(
                    int, (self._proc / str(pid) / "task" / task / "children").read_text().split()
                )
        except FileNotFoundError:
            return self._listed(pid) if pid == os.getpid() else found
        except OSError:
            return found
        return found

    def _listed(self, pid: int) -> list[int]:
        """All that are below, where the kernel has no lists of children (CONFIG_PROC_CHILDREN)."""
        try:
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            return []
