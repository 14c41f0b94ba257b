"""CPU time of all processes of this one's control group: of the container, or of the service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from inferprint.errors import SourceUnavailable
from inferprint.sources.cpu_usage import CpuTimes, cpu_times
from inferprint.units import MICROSECONDS_PER_SECOND

__all__ = ["CgroupTimes"]


class CgroupTimes:
    """The host's CPU times, with ``own_s`` those of this process's control group.

    Args:
        root: of the file system, as this process sees it.

    Raises:
        SourceUnavailable: there is no control group of version 2 that tells its CPU time.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        for path in _candidates(root):
            self._path = path
            try:
                self.own_s()
            except (OSError, ValueError):
                continue
            return
        message = (
            "cpu_scope='cgroup': no cpu.stat of cgroup version 2 below /sys/fs/cgroup. "
            "Mount it, or set cpu_scope='tree'"
        )
        raise SourceUnavailable(message, "absent")

    def __call__(self) -> CpuTimes:
        """The times as they stand now."""
        return replace(cpu_times(), own_s=self.own_s())

    def own_s(self) -> float:
        """CPU seconds of the group so far.

        Raises:
            OSError: it can't be read.
            ValueError: it does not hold them.
        """
        found = re.match(r"usage_usec (\d+)$", self._path.read_text(), re.MULTILINE)
        if found is None:
            raise ValueError(f"{self._path} does not begin with usage_usec")
        return int(found[1]) / MICROSECONDS_PER_SECOND


def _candidates(root: Path) -> Iterator[Path]:
    """Where the group's file may be: a container's own group looks like the root of all."""
    groups = root / "sys/fs/cgroup"
    try:
        own = re.search(r"^0::/(.+)$", (root / "proc/self/cgroup").read_text(), re.MULTILINE)
    except OSError:
        own = None
    if own is not None and ".." not in Path(own[1]).parts:
        yield groups / own[1] / "cpu.stat"
    yield groups / "cpu.stat"
