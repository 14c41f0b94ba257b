"""Eight overlapping requests of known power on the stand-in GPU: receipts against the truth."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

from benchmarks._overlap_run import BASE_W, Outcome, Spec
from benchmarks._report import Report, main
from benchmarks._rig import from_tests, start

STEPS_MS = (20, 100)
MODES = ("threads", "asyncio", "mixed")
UNEQUAL_W = (10.0, 20.0, 30.0, 40.0, 40.0, 50.0, 60.0, 70.0)
# A name that no table of idle powers has: idle power is what was seen, or unknown.
NAME = "Stand-in"

Pair = tuple[float, float]
"""What a request used in truth, and what its receipt says; joules."""


@dataclass(frozen=True)
class Run:
    """What came of one run, and the idle watts that the tracker went by; None: not known."""

    outcomes: list[Outcome]
    idle_w: float | None


def run(spec: Spec, step_ms: float) -> Run:
    """One run in a process of its own, on a board whose counter steps at a phase of its own."""
    nvml_sim = from_tests("nvml_sim")
    phase_ms = random.Random(spec.seed).uniform(0, step_ms)
    gpu = nvml_sim.SimGpu(power_w=BASE_W, name=NAME, step_ms=step_ms, phase_ms=phase_ms)
    with nvml_sim.Simulator(gpu) as simulator:
        process = start("_overlap_run", json.dumps(asdict(spec)), env=os.environ | simulator.env)
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run {spec} failed")
    found = json.loads(output)
    return Run([Outcome(**outcome) for outcome in found["outcomes"]], found["idle_w"])


def case(spec: Spec, step_ms: float, seeds: int) -> Report:
    """Several runs that differ in their requests' times and the phase of the counter's steps."""
    runs = [run(replace(spec, seed=seed), step_ms) for seed in range(seeds)]
    everyone = [outcome for run in runs for outcome in run.outcomes]
    report = accuracy([[total(outcome) for outcome in run.outcomes] for run in runs])
    if all(outcome.active_j is not None for outcome in everyone):
        of_active = accuracy([[active(outcome) for outcome in run.outcomes] for run in runs])
        report |= {f"active_{name}": figure for name, figure in of_active.items()}
    idle_errors = [100 * abs(run.idle_w / BASE_W - 1) for run in runs if run.idle_w is not None]
    if idle_errors:
        report["idle_error_percent"] = max(idle_errors)
    return report | {"settled_after_ms": 1e3 * max(outcome.settled_s for outcome in everyone)}


def total(outcome: Outcome) -> Pair:
    """Of active and idle energy together."""
    assert outcome.total_j is not None
    return outcome.true_active_j + outcome.true_idle_j, outcome.total_j


def active(outcome: Outcome) -> Pair:
    """Of active energy alone."""
    assert outcome.active_j is not None
    return outcome.true_active_j, outcome.active_j


def accuracy(runs: Sequence[Sequence[Pair]]) -> dict[str, float]:
    """The sum of the run whose sum is furthest off, and the error per request."""
    sums = [sum(said for _, said in run) / sum(true for true, _ in run) for run in runs]
    errors = [100 * abs(said / true - 1) for run in runs for true, said in run]
    return {
        "sum_over_truth": max(sums, key=lambda ratio: abs(ratio - 1)),
        "median_error_percent": median(errors),
        "worst_error_percent": max(errors),
    }


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is."""
    seeds, modes = (1, MODES[2:]) if quick else (5, MODES)
    cases: dict[str, tuple[Spec, int]] = {
        f"{mode}_{step_ms}ms": (Spec(mode, 0), step_ms) for step_ms in STEPS_MS for mode in modes
    }
    every = cases | variants(quick)
    return {name: case(spec, step_ms, seeds) for name, (spec, step_ms) in every.items()}


def variants(quick: bool) -> dict[str, tuple[Spec, int]]:
    """What has no limit: other laws of power, and less to go by."""
    if quick:
        return {}
    mixed = Spec("mixed", 0)
    return {
        "constant_power_100ms": (replace(mixed, constant=True), 100),
        "unequal_power_100ms": (replace(mixed, watts=UNEQUAL_W), 100),
        "no_quiet_before_100ms": (replace(mixed, quiet=False), 100),
        "blind_20ms": (replace(mixed, blind=True), 20),
        "blind_100ms": (replace(mixed, blind=True), 100),
    }


if __name__ == "__main__":
    main(__doc__, measure)
