"""A counter of energy that advances in steps, read at its steps; and what a call takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Protocol

from benchmarks.gpu_truth.marks import Mark, quantile
from inferprint.units import NS_PER_S

LOOK_S = 0.0005
"""Between looks for a step: a thousandth of what the shortest measurement here takes."""

STANDS_STILL_S = 2.0
"""Twenty times the slowest update of a power sensor, 100 ms, that Yang, Adamek and Armour found
("Part-time Power Measurements", arXiv:2312.02741; SC'24): one that has not moved will not."""


class Meter(Protocol):
    """Cumulative joules of what is measured, read apart from the tracker.

    Attributes:
        component: the part of a receipt that it measures.
        steps: whether it advances in steps.
    """

    component: str
    steps: bool

    def read(self) -> Mark:
        """What it says now."""
        ...


def edge(meter: Meter) -> Mark:
    """The counter at its next step: the energy between two of these is exactly that of the
    time between them. At once where it has no steps.

    Raises:
        RuntimeError: it does not advance.
    """
    first = meter.read()
    if not meter.steps:
        return first
    deadline_ns = first.at_ns + STANDS_STILL_S * NS_PER_S
    while (mark := meter.read()).energy_j == first.energy_j:
        if mark.at_ns > deadline_ns:
            raise RuntimeError(f"the energy counter stood still for {STANDS_STILL_S:g} s")
        time.sleep(LOOK_S)
    return mark


def read_tightly(meter: Meter, for_s: float) -> list[Mark]:
    """Readings without a pause in between."""
    marks = [meter.read()]
    while marks[-1].at_ns - marks[0].at_ns < for_s * NS_PER_S:
        marks.append(meter.read())
    return marks


def call_cost(call: Callable[[], object], times: int) -> dict[str, float]:
    """What a call takes: ``median_us`` and ``p99_us``."""
    taken_us = []
    for _ in range(times):
        began_ns = time.perf_counter_ns()
        call()
        taken_us.append((time.perf_counter_ns() - began_ns) / 1e3)
    taken_us.sort()
    return {"median_us": median(taken_us), "p99_us": quantile(taken_us, 0.99)}
