"""The cells of the benchmark: which server, behind which sensor, under which load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NamedTuple

from benchmarks.attribution import sensors
from benchmarks.attribution.hardware import (
    H100_IDLE_W,
    LLAMA_8B,
    PACED_3B,
    PACED_8B,
    PACED_70B_PAIR,
    CoTenant,
    Device,
    with_context,
)
from benchmarks.attribution.load import Load
from benchmarks.attribution.replay import Scene

AFFINE = Device(H100_IDLE_W)
# Tends to 622 W with its idle power, under an H100's limit of 700 W.
SATURATING = Device(H100_IDLE_W, cap_w=500.0)
PAIR = Device(H100_IDLE_W, boards=2)

CONCURRENCY = (1, 4, 16, 64, 256)
DUTY = "25-of-100"

SENSORS = {
    DUTY: sensors.DUTY,
    "ideal": sensors.IDEAL,
    "1-s-mean": sensors.AVERAGED,
    "stepping": sensors.STEPPING,
    "blind": sensors.BLIND,
}


class Cell(NamedTuple):
    """A server, sensor and concurrency, by the names in ``SERVERS`` and ``SENSORS``."""

    server: str
    sensor: str
    concurrency: int

    def __str__(self) -> str:
        return f"{self.server}/{self.sensor}/{self.concurrency}"

    @property
    def scene(self) -> Scene:
        """What is run."""
        return replace(SERVERS[self.server](self.concurrency), sensor=SENSORS[self.sensor])

    @property
    def seconds(self) -> float:
        """How long it is run: a minute to learn, then long enough for some hundred requests."""
        return 60.0 + max(90.0, 900.0 / self.concurrency)


Make = Callable[[int], Scene]


def _affine(concurrency: int) -> Scene:
    return Scene(Load([PACED_8B], concurrency), AFFINE, sensors.DUTY)


def _of_load(**changes: object) -> Make:
    """The affine server under another load."""

    def make(concurrency: int) -> Scene:
        scene = _affine(concurrency)
        return replace(scene, load=replace(scene.load, **changes))  # type: ignore[arg-type]

    return make


def _saturating(concurrency: int) -> Scene:
    return replace(_affine(concurrency), device=SATURATING)


def _hard(concurrency: int) -> Scene:
    engines = [with_context(PACED_8B), with_context(PACED_3B)]
    load = Load(engines, concurrency, streamed=0.7, burst=3.0)
    return Scene(load, SATURATING, sensors.DUTY)


def _pair(concurrency: int) -> Scene:
    return Scene(Load([PACED_70B_PAIR], concurrency), PAIR, sensors.DUTY)


def _shared(told: bool) -> Make:
    return lambda concurrency: replace(_affine(concurrency), tenant=CoTenant(told=told))


def _idle_told(concurrency: int) -> Scene:
    return replace(_affine(concurrency), idle_told=True)


SERVERS: dict[str, Make] = {
    "affine": _affine,
    "saturating": _saturating,
    "hard": _hard,
    "idle-told": _idle_told,
    "bursty": _of_load(burst=3.0),
    "mixed": _of_load(streamed=0.5),
    "silent": _of_load(streamed=0.0),
    "cancels": _of_load(cancelled=0.3),
    "context": _of_load(engines=[with_context(PACED_8B)]),
    "two-models": _of_load(engines=[PACED_8B, PACED_3B]),
    "busy": _of_load(engines=[LLAMA_8B]),
    "pair": _pair,
    "tenant-told": _shared(told=True),
    "tenant-untold": _shared(told=False),
    "identical": _of_load(lengths=(161, 338), cached=0.0, cancelled=0.0, twins=True),
}
"""By name: ``hard`` saturates, its contexts grow, and 70 % of its requests, of two models and in
bursts, stream; ``busy`` has steps that grow with the batch until the GPU is full."""


def _all() -> Iterator[Cell]:
    for server in SERVERS:
        judged = server in ("affine", "saturating", "hard")
        for concurrency in (*CONCURRENCY, 128) if server == "saturating" else CONCURRENCY:
            for sensor in SENSORS if judged else [DUTY]:
                if (server, concurrency) != ("identical", 1):  # there are two of each
                    yield Cell(server, sensor, concurrency)


CELLS: Sequence[Cell] = tuple(_all())
QUICK = ("*/1", "*/4", "*/16", "*/64")


def cells_like(patterns: Sequence[str]) -> list[Cell]:
    """The cells whose names match one of the shell patterns."""
    return [cell for cell in CELLS if any(fnmatchcase(str(cell), pattern) for pattern in patterns)]
