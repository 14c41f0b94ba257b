"""Rows 1 to 4: the deployment of BLOOM, its training, and the making of its hardware.

Sources: Luccioni, Viguier, Ligozat, "Estimating the carbon footprint of BLOOM"
(arXiv:2211.02001), and the log of its deployment in bigscience-workshop/carbon-footprint,
``bloom_api_carbon.ipynb``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.published.rows import (
    J_PER_KWH,
    J_PER_WH,
    S_PER_HOUR,
    Row,
    factors_file,
    known,
    served,
)
from inferprint import Config, Receipt, Tracker
from inferprint.testing import FakeClock, FakeSource

REQUESTS, REQUESTS_PER_HOUR, DAYS = 230_768, 558.8, 18
KWH = {"gpu": 650.817364, "dram": 195.923680, "cpu": 17.508077}
INTENSITY_G_PER_KWH = 394.0
LOGGED_S = REQUESTS / REQUESTS_PER_HOUR * S_PER_HOUR
GPUS = 16
# 1,082,990 GPU-hours on 384 GPUs.
TRAINING_S = 1_082_990 / 384 * S_PER_HOUR
# Of the notebook: GPUs' mean power, and by two fits of kWh per 10 minutes on the number of
# requests, the energy at none of the mean 0.34962.
GPU_MEAN_W = 1664.0
FIT_KWH = {"lowest fit": 0.2845, "highest fit": 0.3165}
FIT_MEAN_KWH = 0.34962
MINIMA_W = 1306.0
# How long a request of the replay takes; the log does not tell, and no figure depends on it.
RUN_S = 3.0


@dataclass(frozen=True)
class Replay:
    """What a replay of the deployment came to.

    Args:
        resident: part of all energy that was spent with no work to do: idle and standing.
        wh: energy of a request, all that was charged to it and what waits to be.
        g: its carbon.
        shares: each component's part of the energy.
    """

    resident: float
    wh: float
    g: float
    shares: dict[str, float]


def replay(mean_w: dict[str, float], floor_w: dict[str, float], requests: int) -> Replay:
    """Replays load at the deployment's rate and measures it as any server is measured.

    Each GPU is a device of its own. The tracker is told no idle power: it sees the quiet
    times between the requests. Requests come evenly with a seeded jitter.

    Args:
        mean_w: mean power of each component.
        floor_w: its power while no request runs.
        requests: how many are replayed.
    """
    clock = FakeClock()
    sources: list[tuple[FakeSource, float, float]] = []
    every_s = S_PER_HOUR / REQUESTS_PER_HOUR
    for component, mean in mean_w.items():
        devices = GPUS if component == "gpu" else 1
        floor = floor_w[component] / devices
        running = floor + (mean / devices - floor) * every_s / RUN_S
        for n in range(devices):
            source = FakeSource(clock, f"{component}:{n}", component, watts=floor)  # type: ignore[arg-type]
            sources.append((source, floor, running))
    config = Config(carbon_intensity_g_per_kwh=INTENSITY_G_PER_KWH)
    receipts: list[Receipt] = []
    with Tracker(config, sources=[source for source, _, _ in sources], clock=clock) as tracker:
        clock.advance(1.0)
        tracker.sample()
        for quiet_s in _quiet(requests, every_s):
            for source, floor, _ in sources:
                source.set_power(floor)
            clock.advance(quiet_s)
            tracker.sample()
            for source, _, running in sources:
                source.set_power(running)
            with tracker.request("bloom") as request:
                clock.advance(RUN_S)
            tracker.sample()
            receipts.append(request.receipt())
        return _found(tracker, receipts)


def _quiet(requests: int, every_s: float) -> Iterator[float]:
    chance = random.Random(2022)
    free_s = every_s - RUN_S
    return (free_s * chance.uniform(0.5, 1.5) for _ in range(requests))


def _found(tracker: Tracker, receipts: list[Receipt]) -> Replay:
    devices = tracker.balance().devices.values()
    measured_j = sum(device.measured_j for device in devices)
    waiting_j = sum(device.standing_j for device in devices)
    charged_j = sum(known(receipt.energy.total_j) for receipt in receipts)
    idle_j = sum(d.requests_idle_j + d.requests_standing_j + d.standing_j for d in devices)
    grams = sum(known(receipt.carbon) for receipt in receipts)
    used: dict[str, float] = {}
    for device in devices:
        used[device.component] = used.get(device.component, 0.0) + device.measured_j
    return Replay(
        resident=idle_j / measured_j,
        wh=(charged_j + waiting_j) / len(receipts) / J_PER_WH,
        g=(grams + waiting_j / J_PER_KWH * INTENSITY_G_PER_KWH) / len(receipts),
        shares={component: joules / measured_j for component, joules in used.items()},
    )


def rows(quick: bool) -> list[Row]:
    """Rows 1 to 4."""
    requests = 200 if quick else round(24 * REQUESTS_PER_HOUR)
    mean_w = {name: kwh * J_PER_KWH / LOGGED_S for name, kwh in KWH.items()}
    # RAM and CPU are constants of the log: all of their energy is resident.
    floor_w = mean_w | {"gpu": mean_w["gpu"] * MINIMA_W / GPU_MEAN_W}
    return [*_deployment(replay(mean_w, floor_w, requests)), *_resident(requests), *_making()]


def _deployment(found: Replay) -> list[Row]:
    note = (
        f"replayed at {REQUESTS_PER_HOUR} requests/h on {GPUS} GPUs, RAM and CPU, with the log's "
        f"mean power; times {REQUESTS:,} requests, over {DAYS} days"
    )
    kg = found.g * REQUESTS / 1000
    return [
        Row(1, "carbon of the deployment", "kg", 340.514, kg, True, note),
        Row(1, "carbon a day", "kg/day", 18.917, kg / DAYS, True, note),
        Row(1, "energy of a request", "Wh", 3.745, found.wh, True, note),
        *(
            Row(1, f"part of {component}", "%", share, 100 * found.shares[component], True, note)
            for component, share in (("gpu", 75.30), ("dram", 22.67), ("cpu", 2.03))
        ),
    ]


def _resident(requests: int) -> list[Row]:
    """The resident share by each derivation of the idle floor."""
    ram_w, cpu_w = 475.6, 42.5
    found: list[Row] = []
    for name, floor_kwh in FIT_KWH.items():
        mean = FIT_MEAN_KWH * 6000.0 - ram_w - cpu_w
        floor = floor_kwh * 6000.0 - ram_w - cpu_w
        share = replay(
            {"gpu": mean, "dram": ram_w, "cpu": cpu_w},
            {"gpu": floor, "dram": ram_w, "cpu": cpu_w},
            requests,
        ).resident
        note = "idle and standing energy over all; floor of GPUs, RAM and CPU: energy at no request"
        published = 100 * floor_kwh / FIT_MEAN_KWH
        found.append(Row(2, f"resident share, {name}", "%", published, 100 * share, True, note))
    minima = replay({"gpu": GPU_MEAN_W}, {"gpu": MINIMA_W}, requests).resident
    whole = replay(
        {"gpu": GPU_MEAN_W, "dram": ram_w, "cpu": cpu_w},
        {"gpu": MINIMA_W, "dram": ram_w, "cpu": cpu_w},
        requests,
    ).resident
    taught = "idle and standing energy over all; floor: median of the 10-minute minima; published: "
    return [
        *found,
        Row(2, "resident share, minima, GPUs alone", "%", 75.0, 100 * minima, False,
            taught + "as commonly taught, without its derivation"),
        Row(2, "resident share, minima, with RAM and CPU", "%", 75.0, 100 * whole, False,
            taught + "as commonly taught, without its derivation"),
    ]  # fmt: skip


def _making() -> list[Row]:
    training = served(
        {"gpu": 433_196 * J_PER_KWH},
        duration_s=TRAINING_S,
        windows=100,
        carbon_intensity_g_per_kwh=57.0,
    )
    hours = 1_082_990 / 8
    pieces = {"gpu": "gpu:BLOOM=8", "server": "server=1"}
    tonnes: dict[str, float] = {}
    with factors_file(
        embodied_carbon__gpu_BLOOM=(150, "kgCO2eq"), embodied_carbon__server=(2500, "kgCO2eq")
    ) as path:
        for name, piece in pieces.items():
            receipt = served(
                {"gpu": 1.0},
                duration_s=hours * S_PER_HOUR,
                factors_path=path,
                hardware=(piece,),
                hardware_lifetime_years=6,
                hardware_utilisation=0.85,
            )
            assert receipt.carbon is not None
            tonnes[name] = known(receipt.carbon.embodied_g) / 1e6
    note = "1,082,990 GPU-hours, eight to a server; years of 365.25 days"
    return [
        Row(3, "carbon of training", "t", 24.69, known(training.carbon) / 1e6, True,
            "433,196 kWh at 57 g/kWh"),
        Row(4, "making of the servers", "t", 7.58, tonnes["server"], True, note),
        Row(4, "making of the GPUs", "t", 3.64, tonnes["gpu"], True, note),
        Row(4, "making of both", "t", 11.2, sum(tonnes.values()), True, note),
    ]  # fmt: skip
