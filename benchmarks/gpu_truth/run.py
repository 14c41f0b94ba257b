"""The stages of a run, on a GPU or, as a rehearsal, on a CPU."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from benchmarks.gpu_truth import findings, model
from benchmarks.gpu_truth.board import Board, NotHere, the_board
from benchmarks.gpu_truth.counter import Meter, edge, read_tightly
from benchmarks.gpu_truth.marks import Mark, mean_w, steps
from benchmarks.gpu_truth.plan import Plan
from benchmarks.gpu_truth.replay import Stage, replay_all
from inferprint import Config, Tracker, __version__
from inferprint.sources.cpu_model import CpuModelSource, rate
from inferprint.sources.host import read_host
from inferprint.sources.tdp import tdp_table

Report = dict[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """What is run, and for how long.

    Args:
        plan: the coalitions.
        size: of the model, by its name in ``model.SIZES``.
        attention: transformers' name of the attention that is used.
        idle_s: how long idle power is measured, bare and resident.
        tight_s: how long the counter is read without a pause.
        calls: how often each NVML call is timed.
    """

    plan: Plan
    size: str
    attention: str = "sdpa"
    idle_s: float = 10.0
    tight_s: float = 5.0
    calls: int = 1000


def on_gpu(setting: Setting, tell: Tell) -> Report:
    """The report of the one GPU that is visible.

    Raises:
        NotHere: there is no such GPU, or no torch that sees it.
    """
    with the_board() as board:
        _require_packages()
        if not importlib.import_module("torch").cuda.is_available():
            raise NotHere("this torch sees no GPU", "Install its build for the CUDA of the driver.")
        return {"rehearsal": False, **of_board(board, setting, "cuda", tell)}


def of_board(board: Board, setting: Setting, device: str, tell: Tell) -> Report:
    """The report of a board, from before anything is loaded.

    Args:
        board: it, with nothing running on it.
        setting: what is run.
        device: torch's name of where the model runs.
        tell: is told of the progress.
    """
    about = board.about()
    tell(f"bare idle power, counter and NVML calls of {about['name']}")
    bare_w = idle_w(board, setting.idle_s)
    counter = steps(read_tightly(board, setting.tight_s))
    calls = board.call_costs(setting.calls)
    report = _with_model(setting, device, board, Config(sources=("nvml",)), tell)
    resident_w = report["idle"]["resident_w"]
    idle = {"bare_w": bare_w, "resident_w": resident_w, "added_w": resident_w - bare_w}
    return {"board": about, **report, "idle": idle, "counter": counter, "nvml_calls": calls}


def on_cpu(setting: Setting, tell: Tell) -> Report:
    """A report of the same form from a CPU and its power model: it only shows that all runs.

    Raises:
        NotHere: torch or transformers is not installed.
    """
    _require_packages()
    meter = ModelledCpu()
    report = _with_model(setting, "cpu", meter, Config(sources=("cpu_model",)), tell)
    about = {"name": meter.name, "driver": None, "power_limit_w": None}
    return {"rehearsal": True, "board": about, **report, "counter": None, "nvml_calls": None}


class ModelledCpu:
    """All CPU packages by the power model; not measured."""

    component = "cpu"
    steps = False

    def __init__(self) -> None:
        host = read_host()
        self.name = host.cpu_name
        self._source = CpuModelSource(host, rate(host, tdp_table()))

    def read(self) -> Mark:
        """Modelled joules of all packages."""
        readings = self._source.read()
        return Mark(readings[0].at_ns, sum(reading.energy_j for reading in readings))


def _require_packages() -> None:
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise NotHere(f"{package} is missing", "Install it: pip install -e '.[large]'")


def _with_model(setting: Setting, device: str, meter: Meter, config: Config, tell: Tell) -> Report:
    tell(f"loading a model of size {setting.size}")
    plan = setting.plan
    loaded = model.load(setting.size, device, setting.attention)
    with model.served(loaded, len(plan.players), plan.longest_tokens) as engine:
        resident_w = idle_w(meter, setting.idle_s)
        requests = of_requests(plan, engine, meter, config, tell)
    return {
        "setting": {
            "size": setting.size,
            "parameters": model.SIZES[setting.size].parameters,
            "attention": setting.attention,
            "inferprint": __version__,
            **model.versions(),
            "draws": plan.draws,
            "orders": f"{len(plan.orders)} {'sampled' if plan.sampled else '(all)'}",
            "replay_s": plan.least_s,
            "offset_s": plan.offset_s,
            "seed": plan.seed,
        },
        "idle": {"resident_w": resident_w},
        **requests,
    }


def idle_w(meter: Meter, for_s: float) -> float:
    """Mean power of a time without requests, from step to step of the counter."""
    first = edge(meter)
    time.sleep(for_s)
    return mean_w(first, edge(meter))


def of_requests(
    plan: Plan, engine: model.Engine, meter: Meter, config: Config, tell: Tell
) -> Report:
    """The part of the report that the requests give.

    Args:
        plan: the coalitions.
        engine: what serves them.
        meter: what is measured, apart from the tracker.
        config: the tracker's.
        tell: is told of the progress.
    """
    with Tracker(config) as tracker:
        first = edge(meter)
        replays = asyncio.run(replay_all(Stage(plan, engine, meter, tracker), tell))
        tracker.flush()
        last = edge(meter)
        balance = tracker.balance()
    rows = findings.players(plan, replays)
    booked_j = sum(device.measured_j for device in balance.devices.values())
    return {
        "players": rows,
        "together": findings.together(plan, replays, rows),
        "closure": {
            "books_error": balance.closure_error,
            "books_over_counter": booked_j / (last.energy_j - first.energy_j),
            "receipts_over_active": findings.receipts_over_active(replays),
        },
        "coalitions": findings.coalition_rows(plan, replays),
    }
