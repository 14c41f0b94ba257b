"""What this machine is: its CPU's name and packages, and whether it is a VM or a container."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Host", "read_host", "sees_host_pids"]

CONTAINER_FILES = (".dockerenv", "run/.containerenv")
CONTAINER_GROUPS = re.compile(r"docker|kubepods|containerd|libpod|lxc")


# PROC_PID_INIT_INO of Linux, include/linux/proc_ns.h: the inode of the host's own namespace.
HOST_PID_NAMESPACE = 0xEFFFFFFC


@dataclass(frozen=True, slots=True)
class Host:
    """The machine as this process sees it.

    Args:
        system: the operating system, such as ``Linux``.
        cpu_name: the CPU's product name; ``unknown CPU`` where it is not told.
        packages: CPU packages (sockets), at least 1.
        threads: logical CPUs that are visible.
        virtual: a hypervisor runs below, so packages and threads are what it shows.
        container: this process runs in a container.
        cpu_limit: CPUs that the cgroup lets this process use; None: no limit is told.
        memory_limit: bytes that it lets it use, likewise.
        own_pids: this process sees process ids that are not the host's.
        gpu_files: NVIDIA's device files are here.
    """

    system: str
    cpu_name: str
    packages: int
    threads: int
    virtual: bool
    container: bool
    cpu_limit: float | None = None
    memory_limit: int | None = None
    own_pids: bool = False
    gpu_files: bool = False


def read_host(root: Path = Path("/")) -> Host:
    """The machine whose ``/proc``, ``/run`` and ``/sys`` are below ``root``.

    Whatever can't be read counts as not told; nothing is raised for it.
    """
    cpuinfo = _text(root / "proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+?)\s*$", cpuinfo, re.MULTILINE)
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return Host(
        system=platform.system(),
        cpu_name=names[0] if names else platform.processor() or "unknown CPU",
        packages=max(1, len(set(re.findall(r"^physical id\s*:\s*(\d+)", cpuinfo, re.MULTILINE)))),
        threads=len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)) or os.cpu_count() or 1,
        virtual=flags is not None and "hypervisor" in flags[1].split(),
        container=_in_container(root),
        cpu_limit=_cpu_limit(root),
        memory_limit=_memory_limit(root),
        own_pids=not sees_host_pids(root),
        gpu_files=(root / "dev/nvidiactl").exists(),
    )


def _in_container(root: Path) -> bool:
    marked = any((root / name).exists() for name in CONTAINER_FILES)
    return marked or bool(CONTAINER_GROUPS.search(_text(root / "proc/1/cgroup")))


def _cpu_limit(root: Path) -> float | None:
    """CPUs from cgroup v2's ``cpu.max``, which holds a quota and a period in microseconds."""
    limit = re.match(r"(\d+) (\d+)", _text(root / "sys/fs/cgroup/cpu.max"))
    return int(limit[1]) / int(limit[2]) if limit else None


def _memory_limit(root: Path) -> int | None:
    limit = _text(root / "sys/fs/cgroup/memory.max").strip()
    return int(limit) if limit.isdecimal() else None


def sees_host_pids(root: Path = Path("/")) -> bool:
    """Whether process ids here are those of the host, as drivers tell them."""
    try:
        return os.stat(root / "proc/self/ns/pid").st_ino == HOST_PID_NAMESPACE
    except OSError:
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
