"""Rows 10 to 12: overlapping requests, a sensor that looks a quarter of the time, training."""

from __future__ import annotations

import contextvars
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.attribution.sensors import DUTY, PERIOD_S, Meter
from benchmarks.published.rows import J_PER_KWH, Row, known, served
from inferprint import Config, Device, Reading, Tracker
from inferprint.sources.nvml import NOISE
from inferprint.testing import FakeClock, FakeSource

# What a start/stop snapshot was seen to over-count at so many requests at a time.
SNAPSHOTS = {1: 0.81, 4: 3.33, 8: 6.66, 32: 26.67, 100: 83.27}
# Each of those is the concurrency times about 5/6: so much of the time requests ran.
RAN_S, ROUND_S, ROUNDS = 5.0, 6.0, 6
# Yang, Adamek, Armour, "Accurate and convenient energy measurements for GPUs", SC'24: a sensor
# that sees 25 of each 100 ms, read naively and by their practice.
NAIVE_PERCENT, PRACTICE_PERCENT = 39.27, 4.89
# Luccioni et al. 2022, table 1: MWh and t of training.
TRAINED = {"GPT-3": (1287, 502), "Gopher": (1066, 352), "OPT": (324, 70), "BLOOM": (433, 25)}
SPREAD_OVER = 1e9


def rows(quick: bool) -> list[Row]:
    """Rows 10 to 12."""
    return [*_snapshots(), *_quarter(60 if quick else 400), *_training()]


def _snapshots() -> list[Row]:
    found: list[Row] = []
    for together, published in SNAPSHOTS.items():
        snapshot, ours = overcount(together)
        note = f"rounds of {together} requests, {RAN_S:g} of each {ROUND_S:g} s; the meter is 1"
        found += [
            Row(10, f"snapshots, {together} at a time", "times", published, snapshot, False,
                note + "; what part of the time requests ran is inferred, not published"),
            Row(10, f"ours, {together} at a time", "times", 1.0, ours, True, note),
        ]  # fmt: skip
    return found


def overcount(together: int) -> tuple[float, float]:
    """What differences of the meter at starts and ends sum to, and what receipts do, over the
    meter.
    """
    clock = FakeClock()
    source = FakeSource(clock, watts=200.0)
    snapshots_j = receipts_j = 0.0
    with Tracker(Config(idle_policy="since_last"), sources=[source], clock=clock) as tracker:
        tracker.sample()
        begun_j = source.read()[0].energy_j
        for _ in range(ROUNDS):
            clock.advance(ROUND_S - RAN_S)
            tracker.sample()
            requests = [tracker.request("m") for _ in range(together)]
            contexts = [contextvars.Context() for _ in requests]
            for context, request in zip(contexts, requests, strict=True):
                context.run(request.__enter__)
            before_j = source.read()[0].energy_j
            clock.advance(RAN_S)
            snapshots_j += together * (source.read()[0].energy_j - before_j)
            for context, request in zip(contexts, requests, strict=True):
                context.run(request.__exit__, None, None, None)
            tracker.flush()
            receipts_j += sum(known(request.receipt().energy.total_j) for request in requests)
        meter_j = source.read()[0].energy_j - begun_j
    return snapshots_j / meter_j, receipts_j / meter_j


def _quarter(requests: int) -> list[Row]:
    errors, covered = quarter_errors(requests)
    naive = [abs(error) for error in _naive_errors(requests)]
    note = (
        f"{requests} requests of 0.5 to 5 s, one at a time, at powers that change every 20 ms, "
        "behind a counter that steps every 100 ms and sees 25 ms of them"
    )
    return [
        Row(11, "energy over one step, worst in 20", "%", NAIVE_PERCENT,
            sorted(naive)[round(0.95 * len(naive)) - 1], False,
            note + "; published: their naive reading"),
        Row(11, "requests' energy, mean error", "%", PRACTICE_PERCENT,
            statistics.fmean(errors), False,
            note + "; published: with their practice of repetition"),
        Row(11, "receipts' 90 % interval covers", "%", 90.0, covered, False, note),
    ]  # fmt: skip


class _Quarter:
    """A board whose counter sees a quarter of the time."""

    def __init__(self, chance: random.Random) -> None:
        self.meter = Meter(replace(DUTY, noise=0.0), 1.0, chance)
        self.at_s = 0.0

    def devices(self) -> Sequence[Device]:
        """It; its gain is right, so that the sensor's duty alone is what is off."""
        return [Device("gpu:0", "gpu", "simulated H100", idle_w=0.0, step_s=PERIOD_S, noise=NOISE)]

    def read(self) -> Sequence[Reading]:
        """What its counter says."""
        return [Reading("gpu:0", round(self.at_s * 1e9), self.meter.energy_j)]

    def close(self) -> None:
        """It holds nothing."""


def quarter_errors(requests: int) -> tuple[list[float], float]:
    """Errors in percent of requests behind such a sensor, and how many percent of the truths
    lie in the receipts' intervals.
    """
    chance = random.Random(24)
    clock, board = FakeClock(), _Quarter(chance)
    errors: list[float] = []
    inside = 0
    with Tracker(Config(idle_policy="in_flight"), sources=[board], clock=clock) as tracker:
        for _ in range(requests):
            truth_j = 0.0
            with tracker.request("m") as request:
                for step in range(5 * chance.randint(5, 50)):
                    watts = chance.uniform(100, 400)
                    truth_j += watts * 0.02
                    board.at_s += 0.02
                    board.meter.draw(watts, board.at_s)
                    clock.advance(0.02)
                    if step % 5 == 4:
                        tracker.sample()
            clock.advance(0.1)
            board.at_s += 0.1
            board.meter.draw(0.0, board.at_s)
            tracker.flush()
            total = request.receipt().energy.total_j
            assert total is not None
            errors.append(100 * abs(total.mid / truth_j - 1))
            inside += total.low <= truth_j <= total.high
    return errors, 100 * inside / requests


def _naive_errors(steps: int) -> list[float]:
    """Errors in percent of the counter's single steps."""
    chance = random.Random(25)
    meter = Meter(replace(DUTY, noise=0.0), 1.0, chance)
    errors: list[float] = []
    at_s = 0.0
    for _ in range(steps):
        truth_j, before_j = 0.0, meter.energy_j
        for _ in range(5):
            watts = chance.uniform(100, 400)
            truth_j += watts * 0.02
            at_s += 0.02
            meter.draw(watts, at_s + 1e-9)
        errors.append(100 * ((meter.energy_j - before_j) / truth_j - 1))
    return errors


def _training() -> list[Row]:
    found: list[Row] = []
    for name, (mwh, tonnes) in TRAINED.items():
        receipt = served(
            {"gpu": 1.0},
            carbon_intensity_g_per_kwh=100.0,
            training_energy_kwh=mwh * 1000,
            training_carbon_kg=tonnes * 1000,
            training_requests=SPREAD_OVER,
        )
        assert receipt.training is not None
        note = f"over {SPREAD_OVER:.0e} requests, times them; in no other figure of the receipt"
        kwh = known(receipt.training.energy_j) / J_PER_KWH
        grams = known(receipt.training.carbon_g)
        found += [
            Row(12, f"training of {name}", "MWh", mwh, kwh * SPREAD_OVER / 1000, True, note),
            Row(12, f"training of {name}", "t", tonnes, grams * SPREAD_OVER / 1e6, True, note),
        ]
    return found
