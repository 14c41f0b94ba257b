"""Finds the power sources of this machine, and says of each device how it is known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from inferprint._config import Config, visible_amd_gpus, visible_gpus
from inferprint.errors import ConfigError, SourceUnavailable
from inferprint.records import CpuScope
from inferprint.sources import PowerSource
from inferprint.sources.cpu_model import CpuModelSource, rate
from inferprint.sources.cpu_usage import CpuTimes, cpu_times
from inferprint.sources.dram_model import DramModelSource
from inferprint.sources.findings import Finding
from inferprint.sources.host import Host, read_host
from inferprint.sources.rapl import RaplSource
from inferprint.sources.rapl_zones import find_zones
from inferprint.sources.tdp import tdp_table

__all__ = ["SOURCE_NAMES", "Detection", "detect"]

log = logging.getLogger("inferprint")

# The device file of AMD's driver for computing.
_KFD = Path("/dev/kfd")

Found = tuple[Sequence[PowerSource], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class Detection:
    """The power sources of this machine.

    Args:
        sources: to be read, each by one thread; the caller closes them.
        findings: a line for every device that was looked for.
    """

    sources: tuple[PowerSource, ...]
    findings: tuple[Finding, ...]


def detect(
    config: Config, host: Host | None = None, times: Callable[[], CpuTimes] | None = None
) -> Detection:
    """Finds the sources: NVML and amdsmi for GPUs, RAPL or else a model for CPU packages and DRAM,
    Apple's own counters for all of them.

    A model is used only for a component that RAPL does not measure, so that nothing is
    counted twice.

    Args:
        config: ``sources`` names the ones to use, all of which must be there; None looks for
            all and leaves out what is not there. ``powercap_root`` is where RAPL is looked for.
        host: the machine; None: the one this runs on.
        times: the host's CPU times, and whose part in them counts as own; None: by ``cpu_scope``.

    Raises:
        ConfigError: ``sources`` has a name that is not known.
        SourceUnavailable: a source in ``sources`` is not there, or the control group that
            ``cpu_scope`` asks for.
    """
    _check_names(config.sources)
    host = host or read_host()
    found = _Detector(config, host, times or _SCOPES[config.cpu_scope]())
    for name in SOURCE_NAMES:
        if config.sources is None or name in config.sources:
            found.look_for(name)
    if config.wall_meter is not None:
        found.meet(config.wall_meter)
    return Detection(tuple(found.sources), tuple(found.findings))


class _Detector:
    """Looks for one source after the other, since the models stand in for what RAPL lacks."""

    def __init__(self, config: Config, host: Host, times: Callable[[], CpuTimes]) -> None:
        self._config = config
        self._times = times
        self._host = host
        self._named = config.sources is not None
        self.sources: list[PowerSource] = []
        self.findings: list[Finding] = []
        self._hwmon_root = Path("/sys/class/hwmon")
        # Components that another's meter counts too.
        self._covered: set[str] = set()

    def look_for(self, name: str) -> None:
        if self._measured(_STAND_IN_FOR.get(name)):
            return
        try:
            sources, findings = _FINDERS[name](self)
        except Exception as error:  # noqa: BLE001 - one faulty driver must not take the rest along
            log.warning("Detection of the power source %s failed: %r", name, error)
            sources, findings = [], [_fault(name, error)]
        self.sources.extend(sources)
        self.findings.extend(findings)
        if self._named and not sources:
            self._close()
            raise _unavailable(name, findings)

    def meet(self, wall_meter: str) -> None:
        """Adds the meter of the whole machine, which may also answer later."""
        from inferprint.sources._wall_meters import open_meter
        from inferprint.sources.wall import WallSource, finding

        source = WallSource(open_meter(wall_meter), f"wall:{wall_meter.partition(':')[0]}")
        self.sources.append(source)
        self.findings.append(finding(source))

    def nvml(self) -> Found:
        from inferprint.sources import nvml

        longest_s = 2 * self._config.sample_interval_s
        locks = Path(self._config.lock_folder)
        return nvml.detect(visible_gpus(), max_gap_s=max(2.0, longest_s), locks=locks)

    def amdsmi(self) -> Found:
        from inferprint.sources import amd

        try:
            smi = amd.load()
        except OSError as error:
            return [], [amd.absent(str(error))] if self._wants("amdsmi", _KFD) else []
        if smi is None:
            why = "the package amdsmi is not installed"
            return [], [amd.absent(why)] if self._wants("amdsmi", _KFD) else []
        longest_s = max(2.0, 2 * self._config.sample_interval_s)
        return amd.detect(smi, visible_amd_gpus(), longest_s, Path(self._config.lock_folder))

    def apple(self) -> Found:
        from inferprint.sources import apple

        if self._host.system != "Darwin" and "apple" not in (self._config.sources or ()):
            return [], []
        monitor = apple.load()
        if monitor is None:
            why, mend = "zeus-apple-silicon is not installed", "pip install 'inferprint[apple]'"
            return [], [Finding("apple", "", "cpu", "Apple silicon", "absent", why, mend)]
        source = apple.AppleSource(monitor, self._times, self._host.threads)
        return [source], apple.findings(source)

    def hwmon(self) -> Found:
        from inferprint.sources import hwmon

        rails = hwmon.find_rails(self._hwmon_root, self._host.threads)
        if not rails:
            named = "hwmon" in (self._config.sources or ())
            why = "no power rails of a Grace CPU or a Jetson module are below /sys/class/hwmon"
            missing = Finding("hwmon", "", "cpu", self._host.cpu_name, "absent", why)
            return [], [missing] if named else []
        longest_s = max(2.0, 2 * self._config.sample_interval_s)
        if any("and its memory" in rail.device.name for rail in rails):
            self._covered.add("dram")
        return [hwmon.HwmonSource(rails, self._times, longest_s)], hwmon.findings(rails)

    def _wants(self, name: str, sign: Path) -> bool:
        """Whether a source that is not there is missed: it was named, or its driver is there."""
        return name in (self._config.sources or ()) or sign.exists()

    def rapl(self) -> Found:
        zones, findings = find_zones(Path(self._config.powercap_root), self._host)
        return [RaplSource(zones, self._times)] if zones else [], findings

    def cpu_model(self) -> Found:
        source = CpuModelSource(self._host, rate(self._host, tdp_table()), self._times)
        return [source], source.findings()

    def dram_model(self) -> Found:
        source = DramModelSource(psutil.virtual_memory().total)
        return [source], source.findings()

    def _measured(self, component: str | None) -> bool:
        read = {device.component for source in self.sources for device in source.devices()}
        return component in read | self._covered

    def _close(self) -> None:
        for source in self.sources:
            source.close()


def _tree_times() -> Callable[[], CpuTimes]:
    from inferprint.sources.tree_usage import TreeTimes

    return TreeTimes(with_self=True)


def _cgroup_times() -> Callable[[], CpuTimes]:
    from inferprint.sources.cgroup_usage import CgroupTimes

    return CgroupTimes()


_SCOPES: dict[CpuScope, Callable[[], Callable[[], CpuTimes]]] = {
    "process": lambda: cpu_times,
    "tree": _tree_times,
    "cgroup": _cgroup_times,
}

_FINDERS: dict[str, Callable[[_Detector], Found]] = {
    "nvml": _Detector.nvml,
    "amdsmi": _Detector.amdsmi,
    "apple": _Detector.apple,
    "hwmon": _Detector.hwmon,
    "rapl": _Detector.rapl,
    "cpu_model": _Detector.cpu_model,
    "dram_model": _Detector.dram_model,
}

_STAND_IN_FOR = {"cpu_model": "cpu", "dram_model": "dram"}

SOURCE_NAMES = tuple(_FINDERS)
"""The sources that ``Config.sources`` may name, in the order in which they are looked for."""


def _check_names(names: Sequence[str] | None) -> None:
    for name in names or ():
        if name not in SOURCE_NAMES:
            raise ConfigError("sources", name, "names among " + ", ".join(SOURCE_NAMES))


def _fault(name: str, error: Exception) -> Finding:
    component = {"nvml": "gpu", "amdsmi": "gpu", "dram_model": "dram"}.get(name, "cpu")
    return Finding(name, "", component, name, "unreadable", f"its detection failed: {error!r}")


def _unavailable(name: str, findings: Sequence[Finding]) -> SourceUnavailable:
    reasons = "; ".join(finding.why for finding in findings)
    mends = " ".join(dict.fromkeys(finding.mend for finding in findings if finding.mend))
    unreadable = any(finding.status == "unreadable" for finding in findings)
    message = f"The power source {name!r} is not there: {reasons}." + (f" {mends}" if mends else "")
    return SourceUnavailable(message, "unreadable" if unreadable else "absent")
