"""The truth about a GPU: its arithmetic on games that are known, and how it says what it lacks."""

from __future__ import annotations

import ast
import json
from importlib.util import find_spec
from itertools import combinations
from math import factorial
from pathlib import Path
from random import Random
from statistics import fmean

import pytest
from benchmarks.gpu_truth import findings, page, shapley
from benchmarks.gpu_truth.__main__ import main, write
from benchmarks.gpu_truth.findings import Replay
from benchmarks.gpu_truth.marks import Mark, active_j, mean_w, steps
from benchmarks.gpu_truth.model import SIZES
from benchmarks.gpu_truth.plan import FOUR, SIX, TINY, Plan, Player, orders_for
from benchmarks.gpu_truth.shapley import Coalition
from hypothesis import given
from hypothesis import strategies as st

from benchmark_runs import documented
from inferprint import Range
from support import REPO, missing, run_python

GPU_TRUTH = REPO / "benchmarks" / "gpu_truth"
PURE = ("findings", "marks", "page", "plan", "shapley")
joules = st.floats(-100, 1000, allow_nan=False)

Game = dict[Coalition, float]


def every_coalition(players: int) -> list[Coalition]:
    """All but the empty one."""
    sizes = range(1, players + 1)
    return [frozenset(some) for size in sizes for some in combinations(range(players), size)]


@st.composite
def games(draw: st.DrawFn) -> tuple[int, Game]:
    """Up to five players, and any energy for each coalition of them."""
    players = draw(st.integers(1, 5))
    return players, {coalition: draw(joules) for coalition in every_coalition(players)}


def values_of(players: int, game: Game) -> list[float]:
    return shapley.values(shapley.weights(shapley.every_order(players)), game)


# ---- Shapley values --------------------------------------------------------------------------


@given(joules, st.lists(joules, min_size=1, max_size=6))
def test_a_fixed_cost_and_own_work_are_shared_as_in_closed_form(
    fixed_j: float, own_j: list[float]
) -> None:
    """Where any coalition costs F + its members' work, a player's value is F/n + its work."""
    players = len(own_j)
    game = {c: fixed_j + sum(own_j[member] for member in c) for c in every_coalition(players)}
    expected = [fixed_j / players + own for own in own_j]
    assert values_of(players, game) == pytest.approx(expected, abs=1e-6)


@given(games())
def test_values_are_those_of_the_definition_by_subsets(drawn: tuple[int, Game]) -> None:
    """The mean over all orders is Shapley's sum over the subsets that a player joins."""
    players, game = drawn
    for player, value in enumerate(values_of(players, game)):
        others = [frozenset[int](), *(c for c in every_coalition(players) if player not in c)]
        expected = sum(
            factorial(len(c))
            * factorial(players - len(c) - 1)
            / factorial(players)
            * (game[c | {player}] - game.get(c, 0.0))
            for c in others
        )
        assert value == pytest.approx(expected, abs=1e-6)


@given(games(), st.integers(1, 9), st.randoms(use_true_random=False))
def test_values_sum_to_the_energy_of_all(drawn: tuple[int, Game], count: int, rng: Random) -> None:
    """Efficiency: nothing is lost or made up, with all orders or with a sample of them."""
    players, game = drawn
    sampled = shapley.weights(shapley.sampled_orders(players, count, rng))
    everyone = game[frozenset(range(players))]
    assert sum(values_of(players, game)) == pytest.approx(everyone, abs=1e-6)
    assert sum(shapley.values(sampled, game)) == pytest.approx(everyone, abs=1e-6)


@given(games())
def test_equal_players_have_equal_values(drawn: tuple[int, Game]) -> None:
    """Symmetry: where the first and the last player can stand in for each other."""
    players, game = drawn
    last = players - 1
    swap = {0: last, last: 0}
    swapped = {c: frozenset(swap.get(member, member) for member in c) for c in game}
    symmetric = {c: (game[c] + game[swapped[c]]) / 2 for c in game}
    values = values_of(players, symmetric)
    assert values[0] == pytest.approx(values[last], abs=1e-6)


@given(games())
def test_a_player_that_adds_nothing_has_no_value(drawn: tuple[int, Game]) -> None:
    """Null player: joined by one that uses nothing, the others' values stay what they were."""
    players, game = drawn
    joined = {c: game.get(c - {players}, 0.0) for c in every_coalition(players + 1)}
    expected = [*values_of(players, game), 0.0]
    assert values_of(players + 1, joined) == pytest.approx(expected, abs=1e-6)


def test_coalitions_that_must_be_measured() -> None:
    """All of them for all orders; for one order its beginnings, each once."""
    assert set(shapley.coalitions(shapley.every_order(4))) == set(every_coalition(4))
    found = shapley.coalitions([(1, 0, 2), (1, 0, 2)])
    assert found == [frozenset({1}), frozenset({0, 1}), frozenset({0, 1, 2})]


def noisy(game: Game, rng: Random, draws: int = 3) -> dict[Coalition, list[float]]:
    return {c: [rng.gauss(energy_j, 2.0) for _ in range(draws)] for c, energy_j in game.items()}


@pytest.mark.parametrize("draws", [2, 3])
def test_the_interval_covers_the_truth(monkeypatch: pytest.MonkeyPatch, draws: int) -> None:
    """Of 300 noisy measurements of a game, 90 % intervals hold a value 86 to 94 % of the time,
    though the noise is known from two or three measurements alone.
    """
    monkeypatch.setattr(shapley, "RESAMPLES", 200)
    rng = Random(7)
    own = (5.0, 10.0, 20.0, 40.0)
    orders = shapley.every_order(4)
    game = {c: 50.0 + sum(own[member] for member in c) for c in every_coalition(4)}
    truth = shapley.values(shapley.weights(orders), game)
    runs = [shapley.estimate(orders, noisy(game, rng, draws), rng) for _ in range(300)]
    held = [r.low <= t <= r.high for run in runs for r, t in zip(run, truth, strict=True)]
    assert 0.86 <= fmean(held) <= 0.94


def test_a_sample_of_orders_widens_the_interval() -> None:
    """What a few orders leave unknown is in the interval, though nothing else is noisy."""
    rng = Random(3)
    game = {c: float(len(c)) ** 2 * (3.0 if 0 in c else 1.0) for c in every_coalition(4)}
    measured = {c: [energy_j, energy_j] for c, energy_j in game.items()}
    orders = shapley.sampled_orders(4, 6, rng)
    exact = shapley.estimate(shapley.every_order(4), measured, rng)
    sampled = shapley.estimate(orders, measured, rng, sampled=True)
    assert all(r.high - r.low == pytest.approx(0.0, abs=1e-9) for r in exact)
    assert all(r.high - r.low > 0.1 for r in sampled)


def test_one_measurement_has_no_interval() -> None:
    """It is refused: nothing tells its noise, and an interval of no width would be a lie."""
    with pytest.raises(ValueError, match="measured once: expected 2 or more"):
        shapley.estimate([(0,)], {frozenset({0}): [1.0]}, Random(1))


# ---- the plan --------------------------------------------------------------------------------


def test_every_draw_measures_every_coalition_in_an_order_of_its_own() -> None:
    """Six players have 63 coalitions, each measured once a draw."""
    replays = Plan(SIX, orders_for(SIX, None), draws=2).replays()
    first, second = [c for d, c in replays if d == 0], [c for d, c in replays if d == 1]
    assert set(first) == set(second) == set(every_coalition(6))
    assert len(first) == len(second) == 63
    assert first != second


def test_offsets_are_random_and_the_same_for_every_coalition() -> None:
    """A round's offsets depend on draw and round alone, and lie within the limit."""
    plan = Plan(FOUR, orders_for(FOUR, None), offset_s=0.5)
    drawn = [plan.offsets_s(draw, round_) for draw in range(5) for round_ in range(5)]
    assert drawn[7] == plan.offsets_s(1, 2)
    assert len({offset for each in drawn for offset in each}) == 4 * 25
    assert all(0 <= offset <= 0.5 for each in drawn for offset in each)


@given(st.integers(1, 20))
def test_a_sample_of_orders_is_the_same_each_time(count: int) -> None:
    """The coalitions of a run can be told from its seed."""
    orders = orders_for(SIX, count)
    assert orders == orders_for(SIX, count)
    assert all(sorted(order) == [0, 1, 2, 3, 4, 5] for order in orders)


# ---- the counter -----------------------------------------------------------------------------


def counter_marks(step_ms: float, late_ms: float, seconds: float = 2.0) -> list[Mark]:
    """A counter of 100 W read every 0.1 ms, every other step late."""
    marks = []
    for tick in range(round(seconds * 10_000)):
        at_ms = tick / 10
        done = int(at_ms // step_ms)
        if done % 2 and at_ms - done * step_ms < late_ms:
            done -= 1
        marks.append(Mark(round(at_ms * 1e6), 0.1 * done * step_ms))
    return marks


def test_steps_of_a_counter_are_found() -> None:
    """Their median, their extremes and their scatter, as they were made."""
    even = steps(counter_marks(20.0, 0.0))
    assert even["step_ms"] == pytest.approx(20.0, abs=0.11)
    assert even["jitter_ms"] == pytest.approx(0.0, abs=0.1)
    assert even["read_us"] == pytest.approx(100.0)
    late = steps(counter_marks(20.0, 4.0))
    assert (late["step_p5_ms"], late["step_p95_ms"]) == pytest.approx((16.0, 24.0), abs=0.2)
    assert late["jitter_ms"] == pytest.approx(4.0, abs=0.2)


def test_a_counter_that_hardly_steps_is_not_known() -> None:
    """Two advances have one time between them, which tells no scatter."""
    found = steps(counter_marks(800.0, 0.0))
    assert {name for name, figure in found.items() if figure is None} == {
        "step_ms",
        "step_p5_ms",
        "step_p95_ms",
        "jitter_ms",
    }


def test_power_and_active_energy_between_two_marks() -> None:
    """Ten seconds at 120 W, of which 100 W is idle, are 200 J."""
    first, last = Mark(0, 500.0), Mark(10_000_000_000, 1700.0)
    assert mean_w(first, last) == 120.0
    assert active_j(first, last, 100.0) == pytest.approx(200.0)


# ---- the report ------------------------------------------------------------------------------


def replay(coalition: Coalition, energy_j: float, draw: int, receipts: bool = True) -> Replay:
    said = {i: [Range(8.0, 10.0 * (i + 1), 40.0) if receipts else None] for i in coalition}
    return Replay(draw, coalition, 1, 5.0, energy_j, 70.0, said)


PLAN = Plan((Player("a", 1, 2), Player("b", 3, 4)), orders_for(TINY[:2], None), draws=2)
ALONE, OTHER, BOTH = frozenset({0}), frozenset({1}), frozenset({0, 1})
REPLAYS = [
    replay(coalition, energy_j, draw)
    for draw in range(2)
    for coalition, energy_j in ((ALONE, 12.0), (OTHER, 22.0), (BOTH, 30.0))
]


def test_receipts_stand_beside_the_truth() -> None:
    """a: (12 + 30 - 22) / 2 = 10 J, its receipt 10; b: 20 J and 20; together 30 and 30."""
    rows = findings.players(PLAN, REPLAYS)
    assert [row["shapley_j"] for row in rows] == pytest.approx([10.0, 20.0])
    assert [row["receipt_j"] for row in rows] == [10.0, 20.0]
    assert [row["error_percent"] for row in rows] == pytest.approx([0.0, 0.0])
    assert [(row["receipt_low_j"], row["receipt_high_j"]) for row in rows] == [(8.0, 40.0)] * 2
    assert findings.together(PLAN, REPLAYS, rows)["receipts_over_energy"] == pytest.approx(1.0)
    assert findings.receipts_over_active(REPLAYS) == pytest.approx(120.0 / 128.0)


def test_a_receipt_that_is_not_known_is_not_compared() -> None:
    """One receipt whose active energy was not told apart makes its figures unknown, not 0."""
    replays = [*REPLAYS, replay(BOTH, 30.0, 2, receipts=False)]
    rows = findings.players(PLAN, replays)
    assert [row["receipt_j"] for row in rows] == [None, None]
    assert [row["error_percent"] for row in rows] == [None, None]
    assert findings.together(PLAN, replays, rows)["receipts_over_energy"] is None
    assert findings.receipts_over_active(replays) is None
    assert "| a | 1 | 2 | 10 | 10 | 10 | not known |" in page.page(report(replays))


def report(replays: list[Replay]) -> dict[str, object]:
    rows = findings.players(PLAN, replays)
    return {
        "date": "2026-11-21",
        "rehearsal": False,
        "board": {"name": "NVIDIA H100 80GB HBM3", "driver": "999.00", "power_limit_w": 700.0},
        "setting": {"size": "1b"},
        "players": rows,
        "together": findings.together(PLAN, replays, rows),
        "closure": {"books_error": 0.0},
        "idle": {"bare_w": 71.8},
        "counter": {"step_ms": None},
        "nvml_calls": {"utilisation": None, "energy_counter": {"median_us": 1.0, "p99_us": 2.5}},
        "coalitions": findings.coalition_rows(PLAN, replays),
    }


def test_results_are_written_by_date_and_board(tmp_path: Path) -> None:
    """One JSON object with every measurement, and a page with board, driver and power limit."""
    write(report(REPLAYS), tmp_path / "results")
    name = "gpu_truth-2026-11-21-nvidia-h100-80gb-hbm3"
    kept = json.loads((tmp_path / "results" / f"{name}.json").read_text())
    assert kept == report(REPLAYS)
    assert len(kept["coalitions"]) == 6
    text = (tmp_path / "results" / f"{name}.md").read_text()
    assert text.startswith("# NVIDIA H100 80GB HBM3, 2026-11-21\n")
    for line in ("driver | 999.00", "power_limit_w | 700", "energy_counter | 1 | 2.5"):
        assert f"| {line} |\n" in text
    assert "| utilisation | not known | not known |" in text


# ---- what it needs ---------------------------------------------------------------------------


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, nothing printed that could be read as a result, and what it needs."""
    result = run_python("-m", "benchmarks.gpu_truth", env={"CUDA_VISIBLE_DEVICES": ""})
    assert result.returncode == 3
    assert result.stdout == ""
    assert "there is no NVIDIA GPU here that can be read" in result.stderr
    assert "--cpu-rehearsal" in result.stderr


@pytest.mark.parametrize("arguments", [["--draws", "1"], ["--permutations", "0"], ["--size", "x"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Fewer measurements than tell their noise are refused with exit code 2."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_models_have_the_published_sizes() -> None:
    """Within 0.5 % of the parameter counts that Meta gives."""
    assert SIZES["1b"].parameters == pytest.approx(1.23e9, rel=5e-3)
    assert SIZES["8b"].parameters == pytest.approx(8.03e9, rel=5e-3)


@pytest.mark.parametrize("name", PURE)
def test_what_computes_touches_nothing(name: str) -> None:
    """The arithmetic has no clock, no GPU and no files: all of it is tested here."""
    tree = ast.parse((GPU_TRUTH / f"{name}.py").read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    named = {alias.name for node in nodes for alias in node.names}
    named |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert named.isdisjoint({"asyncio", "os", "pathlib", "pynvml", "time", "torch"})


def figures(report: dict[str, dict[str, object]], *groups: str) -> set[str]:
    return {name for group in groups for name in report[group]}


@pytest.mark.real
@pytest.mark.timeout(180)
def test_the_whole_path_runs_on_a_cpu(tmp_path: Path) -> None:
    """The tiny model is served in coalitions under the tracker; all figures are there, the
    values sum to the measured energy, and every page says that it is a rehearsal.
    """
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            missing(package, "scripts/venv large")
    command = ["-m", "benchmarks.gpu_truth", "--cpu-rehearsal", "--json", "--out", str(tmp_path)]
    result = run_python(*command, timeout_s=150)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["rehearsal"] is True
    assert len(found["coalitions"]) == 2 * 7
    assert all(row["rounds"] >= 1 and row["length_s"] >= 0.2 for row in found["coalitions"])
    total_j = sum(row["shapley_j"] for row in found["players"])
    assert total_j == pytest.approx(found["together"]["energy_j"])
    assert found["closure"]["books_error"] <= 1e-9
    assert all(row["receipt_j"] > 0 for row in found["players"])
    [text] = [path.read_text() for path in tmp_path.glob("*-rehearsal.md")]
    assert "Nothing in it is a truth about a GPU" in text
    assert figures(found, "together", "closure", "idle") <= documented("gpu_truth")
