"""CPU time of the host's workers, as the agent's own: what they compute is its requests' work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from inferprint.agent.peer import Peer
from inferprint.records import Device, Reading
from inferprint.sources import PowerSource
from inferprint.units import seconds

__all__ = ["WorkersCpu", "with_workers"]


class WorkersCpu:
    """CPU time of all workers since they connected; of those that are gone too."""

    def __init__(self) -> None:
        self._total_ns = 0

    @property
    def total_s(self) -> float:
        """CPU seconds."""
        return seconds(self._total_ns)

    def take(self, peer: Peer, cpu_ns: int) -> None:
        """A worker tells the CPU time of its process so far; it only grows."""
        if peer.cpu_ns is not None:
            self._total_ns += max(0, cpu_ns - peer.cpu_ns)
        peer.cpu_ns = max(cpu_ns, peer.cpu_ns or 0)


class _WithWorkers:
    def __init__(self, source: PowerSource, cpu: WorkersCpu) -> None:
        self._source, self._cpu = source, cpu
        self._of_cpu = {one.id for one in source.devices() if one.component != "gpu"}

    def devices(self) -> Sequence[Device]:
        return self._source.devices()

    def read(self) -> Sequence[Reading]:
        return [self._with(reading) for reading in self._source.read()]

    def says(self) -> frozenset[str]:
        says: Callable[[], frozenset[str]] = getattr(self._source, "says", frozenset)
        return says()

    def close(self) -> None:
        self._source.close()

    def _with(self, reading: Reading) -> Reading:
        if reading.own_s is None or reading.device_id not in self._of_cpu:
            return reading
        return replace(reading, own_s=reading.own_s + self._cpu.total_s)


def with_workers(source: PowerSource, cpu: WorkersCpu) -> PowerSource:
    """A source whose readings count the workers' CPU time as this process's."""
    # Named as the source is: that is how faults of it are counted.
    kind: type[_WithWorkers] = type(type(source).__name__, (_WithWorkers,), {})
    return kind(source, cpu)
