"""Finds the power sources of this machine, and says of each device how it is known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from inferprint._config import Config, visible_gpus
from inferprint.errors import ConfigError, SourceUnavailable
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
    config: Config, host: Host | None = None, times: Callable[[], CpuTimes] = cpu_times
) -> Detection:
    """Finds the sources: NVML for GPUs, RAPL or else a model for CPU packages and for DRAM.

    A model is used only for a component that RAPL does not measure, so that nothing is
    counted twice.

    Args:
        config: ``sources`` names the ones to use, all of which must be there; None looks for
            all and leaves out what is not there. ``powercap_root`` is where RAPL is looked for.
        host: the machine; None: the one this runs on.
        times: the host's CPU times, and whose part in them counts as this process's own.

    Raises:
        ConfigError: ``sources`` has a name that is not known.
        SourceUnavailable: a source in ``sources`` is not there.
    """
    _check_names(config.sources)
    host = host or read_host()
    found = _Detector(config, host, times)
    for name in SOURCE_NAMES:
        if config.sources is None or name in config.sources:
            found.look_for(name)
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

    def nvml(self) -> Found:
        from inferprint.sources import nvml

        longest_s = 2 * self._config.sample_interval_s
        locks = Path(self._config.lock_folder)
        return nvml.detect(visible_gpus(), max_gap_s=max(2.0, longest_s), locks=locks)

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
        return any(d.component == component for source in self.sources for d in source.devices())

    def _close(self) -> None:
        for source in self.sources:
            source.close()


_FINDERS: dict[str, Callable[[_Detector], Found]] = {
    "nvml": _Detector.nvml,
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
    component = {"nvml": "gpu", "dram_model": "dram"}.get(name, "cpu")
    return Finding(name, "", component, name, "unreadable", f"its detection failed: {error!r}")


def _unavailable(name: str, findings: Sequence[Finding]) -> SourceUnavailable:
    reasons = "; ".join(finding.why for finding in findings)
    mends = " ".join(dict.fromkeys(finding.mend for finding in findings if finding.mend))
    unreadable = any(finding.status == "unreadable" for finding in findings)
    message = f"The power source {name!r} is not there: {reasons}." + (f" {mends}" if mends else "")
    return SourceUnavailable(message, "unreadable" if unreadable else "absent")
