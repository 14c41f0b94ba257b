"""The cells of the benchmark: which server, under which load, behind which sensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.attribution import sensors
from benchmarks.attribution.hardware import (
    H100_IDLE_W,
    LLAMA_8B,
    PACED_3B,
    PACED_8B,
    Device,
    with_context,
)
from benchmarks.attribution.load import Load
from benchmarks.attribution.sensors import Sensor

AFFINE = Device(H100_IDLE_W)
SATURATING = Device(H100_IDLE_W, cap_w=500.0)
"""Tends to 622 W with its idle power, under an H100's limit of 700 W."""

CONCURRENCY = (1, 4, 16, 64, 256)


@dataclass(frozen=True, slots=True)
class Cell:
    """One server, load and sensor.

    Args:
        server: the name of its kind, as in ``SERVERS``.
        concurrency: mean requests in flight.
        load: what is asked of it.
        device: its power law.
        sensor: its counter.
    """

    server: str
    concurrency: int
    load: Load
    device: Device
    sensor: Sensor


def _affine(concurrency: int) -> tuple[Load, Device]:
    return Load([PACED_8B], concurrency), AFFINE


def _saturating(concurrency: int) -> tuple[Load, Device]:
    return Load([PACED_8B], concurrency), SATURATING


def _hard(concurrency: int) -> tuple[Load, Device]:
    engines = [with_context(PACED_8B), with_context(PACED_3B)]
    return Load(engines, concurrency, streamed=0.7, burst=3.0), SATURATING


def _busy(concurrency: int) -> tuple[Load, Device]:
    """Steps that grow with the batch until the GPU is full: power hardly moves at the end."""
    return Load([LLAMA_8B], concurrency), AFFINE


def _silent(concurrency: int) -> tuple[Load, Device]:
    """No request tells of tokens before its end."""
    return Load([PACED_8B], concurrency, streamed=0.0), AFFINE


SERVERS: dict[str, Callable[[int], tuple[Load, Device]]] = {
    "affine": _affine,
    "saturating": _saturating,
    "hard": _hard,
    "busy": _busy,
    "silent": _silent,
}

SENSORS = {
    "25-of-100": sensors.DUTY,
    "ideal": sensors.IDEAL,
    "1 s mean": sensors.AVERAGED,
    "stepping": sensors.STEPPING,
}


def cell(server: str, concurrency: int, sensor: str) -> Cell:
    """The cell of these names.

    Raises:
        KeyError: there is no such server or sensor.
    """
    load, device = SERVERS[server](concurrency)
    return Cell(server, concurrency, load, device, SENSORS[sensor])
