"""The truth about a GPU on the stand-in NVML, where it is known."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from importlib.util import find_spec
from statistics import fmean

import pytest
from benchmarks.gpu_truth.board import Board, NotHere, check_alone, the_board

from nvml_sim import SimGpu, Simulator, simulated
from support import missing

NOT_SUPPORTED = 3
IDLE_W = 70.0
FIXED_W = 90.0
OWN_W = {1: 10.0, 2: 30.0, 3: 60.0}
LENGTH_S = 0.25


class KnownEngine:
    """Draws ``FIXED_W`` while any request runs, and what each draws by its prompt's length."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._running: list[float] = []
        self.lengths_s: list[float] = []

    async def stream(self, input_tokens: int, output_tokens: int) -> AsyncIterator[int]:
        self._running.append(OWN_W[input_tokens])
        self._draw()
        began_s = time.monotonic()
        await asyncio.sleep(LENGTH_S)
        yield output_tokens
        self._running.remove(OWN_W[input_tokens])
        self._draw()
        self.lengths_s.append(time.monotonic() - began_s)

    def _draw(self) -> None:
        self._sim.set_power(0, IDLE_W + FIXED_W * bool(self._running) + sum(self._running))


@simulated(SimGpu(power_w=IDLE_W, name="Stand-in", step_ms=20.0))
def test_shapley_values_of_a_known_server_are_found(sim: Simulator) -> None:
    """Three requests that start together: each used a third of the fixed power and its own, and
    what is measured says so; the receipts sum to what all used; the books are the counter's.
    """
    from benchmarks.gpu_truth.plan import Plan, Player, orders_for
    from benchmarks.gpu_truth.run import of_requests

    from inferprint import Config

    players = [Player(str(watts), prompt, 5) for prompt, watts in OWN_W.items()]
    plan = Plan(
        players,
        orders_for(players, None),
        draws=2,
        least_s=0.4,
        offset_s=0.0,
        settle_s=0.1,
        quiet_s=0.3,
    )
    engine = KnownEngine(sim)
    with the_board() as board:
        found = of_requests(plan, engine, board, Config(sources=("nvml",)), lambda _: None)
    length_s = fmean(engine.lengths_s)
    for row, own_w in zip(found["players"], OWN_W.values(), strict=True):
        true_j = length_s * (FIXED_W / 3 + own_w)
        assert row["shapley_j"] == pytest.approx(true_j, rel=0.05), found
        assert row["shapley_low_j"] <= row["shapley_j"] <= row["shapley_high_j"]
    assert found["together"]["receipts_over_energy"] == pytest.approx(1.0, abs=0.05), found
    assert found["closure"]["books_error"] <= 1e-9
    assert found["closure"]["books_over_counter"] == pytest.approx(1.0, abs=0.02)
    assert found["closure"]["receipts_over_active"] == pytest.approx(1.0, abs=0.05)


@simulated(SimGpu(power_w=120.0, name="Stand-in", step_ms=50.0))
def test_the_board_is_described(sim: Simulator) -> None:
    """Its counter's step, its idle power and what each call takes; what it or its driver does
    not have is None.
    """
    from benchmarks.gpu_truth.counter import read_tightly
    from benchmarks.gpu_truth.marks import steps
    from benchmarks.gpu_truth.run import idle_w

    sim.fail("nvmlDeviceGetComputeRunningProcesses_v3", NOT_SUPPORTED)
    with the_board() as board:
        assert board.about() == {"name": "Stand-in", "driver": "999.00", "power_limit_w": None}
        assert idle_w(board, 0.3) == pytest.approx(120.0, rel=0.05)
        assert steps(read_tightly(board, 1.0))["step_ms"] == pytest.approx(50.0, rel=0.1)
        sim.slow("nvmlDeviceGetFieldValues", 0.002)
        costs = board.call_costs(20)
    assert costs["utilisation"] is None
    assert costs["running_processes"] is None
    energy, power = costs["energy_counter"], costs["instant_power"]
    assert energy is not None
    assert power is not None
    assert 0 < energy["median_us"] <= energy["p99_us"]
    assert power["median_us"] >= 2000


@simulated(SimGpu(power_w=0.0, step_ms=20.0))
def test_a_counter_that_stands_still_ends_the_run(sim: Simulator) -> None:
    """It is said after two seconds, instead of waiting for ever."""
    from benchmarks.gpu_truth.counter import edge

    with the_board() as board, pytest.raises(RuntimeError, match="stood still for 2 s"):
        edge(board)


@simulated(SimGpu(), SimGpu())
def test_of_several_gpus_one_must_be_named(sim: Simulator) -> None:
    """Requests run on one, and the others' counters would be in its books."""
    with pytest.raises(NotHere, match="2 GPUs are visible"), the_board():
        pass
    os.environ["CUDA_VISIBLE_DEVICES"] = "1"
    with the_board() as board:
        assert board.about()["driver"] == "999.00"


@simulated(SimGpu(mig=2))
def test_a_divided_board_is_refused(sim: Simulator) -> None:
    """Its counter is of all its instances."""
    with pytest.raises(NotHere, match="divided by MIG"), the_board():
        pass


def test_a_board_in_use_is_refused() -> None:
    """Another process's energy would be in the truth; its pid is named."""

    class Busy(Board):
        def processes(self) -> list[int]:
            return [4321]

    with pytest.raises(NotHere, match="other processes compute on the GPU: 4321"):
        check_alone(Busy(None, None))


@simulated(SimGpu())
def test_a_board_without_a_counter_is_refused(sim: Simulator) -> None:
    """Boards before Volta have none; integrated power would not be the truth."""
    sim.fail("nvmlDeviceGetTotalEnergyConsumption", NOT_SUPPORTED)
    with pytest.raises(NotHere, match="no energy counter"), the_board():
        pass


@pytest.fixture
def large() -> None:
    """The packages that the model needs, looked for before the test's process starts."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            missing(package, "scripts/venv large")


@pytest.mark.real
@pytest.mark.usefixtures("large")
@simulated(SimGpu(power_w=100.0, name="Stand-in", step_ms=20.0))
def test_the_report_of_a_board_has_every_documented_figure(sim: Simulator) -> None:
    """The path of a real GPU, but for CUDA: the tiny model runs on the CPU beside a board of
    constant power, so that nothing above idle is found.
    """
    from benchmarks.gpu_truth.__main__ import rehearsal
    from benchmarks.gpu_truth.page import page
    from benchmarks.gpu_truth.run import of_board

    from benchmark_runs import documented

    with the_board() as board:
        report = of_board(board, rehearsal(), "cpu", lambda _: None)
    groups = ("board", "setting", "together", "closure", "idle", "counter", "nvml_calls")
    figures = {name for group in groups for name in report[group]} | set(report["players"][0])
    assert figures == documented("gpu_truth")
    assert report["idle"]["bare_w"] == pytest.approx(100.0, rel=0.05)
    assert report["idle"]["added_w"] == pytest.approx(0.0, abs=5.0)
    assert report["counter"]["step_ms"] == pytest.approx(20.0, rel=0.1)
    assert abs(report["together"]["energy_j"]) < 5.0
    assert page({"date": "2026-11-21", "rehearsal": False, **report}).startswith("# Stand-in")
