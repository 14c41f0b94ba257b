"""The benchmark of attribution: a server that keeps the books, fair sensors, a whole table."""

from __future__ import annotations

import json
import random
import statistics
from pathlib import Path

import pytest
from benchmarks.attribution import __main__ as command
from benchmarks.attribution.cotenant import Presence, Usage
from benchmarks.attribution.gates import verdicts
from benchmarks.attribution.grid import CELLS, CONCURRENCY, DUTY, SENSORS, SERVERS, Cell, cells_like
from benchmarks.attribution.hardware import PACED_3B, PACED_8B, CoTenant, Device, Engine
from benchmarks.attribution.load import Job, Load
from benchmarks.attribution.plot import MISSING
from benchmarks.attribution.replay import Replay, Scene
from benchmarks.attribution.rules import RULES, Ledger
from benchmarks.attribution.runs import OURS, Result, Run, Served, plan
from benchmarks.attribution.score import CellScore, score, score_cell
from benchmarks.attribution.sensors import IDEAL, PERIOD_S, Meter, Sensor
from benchmarks.attribution.server import Server
from hypothesis import assume, given
from hypothesis import strategies as st

from support import require_module, run_python

IDLE_W = 100.0
# F 100 W; a prompt token 0.1 J, an output token 1 J; steps of 0.1 s whatever is in them.
ROUND = Engine("round", 100.0, 0.1, 1.0, 0.0, 0.1, 0.0, 0.0)


def job(number: int = 0, at_s: float = 0.0, prompt: int = 10, output: int = 5) -> Job:
    """A streamed request to the round engine."""
    return Job(number, ROUND, at_s, prompt, 0, output, streamed=True, cancelled=False)


def served(*jobs: Job, device: Device | None = None) -> list[Job]:
    """The jobs, run to their ends."""
    list(Server(device or Device(IDLE_W), jobs).run())
    return list(jobs)


# ---- the server and the truth -----------------------------------------------------------


@given(
    seed=st.integers(0, 999),
    concurrency=st.sampled_from([1, 3, 12]),
    burst=st.sampled_from([1.0, 3.0]),
    cap_w=st.sampled_from([300.0, float("inf")]),
    boards=st.sampled_from([1, 2]),
    twins=st.booleans(),
)
def test_the_truths_sum_to_the_meter(
    seed: int, concurrency: int, burst: float, cap_w: float, boards: int, twins: bool
) -> None:
    """What is true of all requests, with what was idle, is what meters of gain 1 count."""
    load = Load([PACED_8B, PACED_3B], concurrency, burst=burst, twins=twins, output_median=40)
    device = Device(IDLE_W, cap_w, boards)
    jobs = list(load.jobs(8.0, random.Random(seed)))
    meter, busy_s, end_s = Meter(IDEAL, 1.0, random.Random(seed)), 0.0, 0.0
    for step in Server(device, jobs).run():
        meter.draw(boards * IDLE_W + step.active_w, step.end_s)
        end_s = step.end_s
        busy_s += (end_s - step.start_s) * bool(step.active_w)
        assert step.active_w == pytest.approx(step.shared_w + sum(step.own_w.values()))
    last_s = (int(end_s / PERIOD_S) + 2) * PERIOD_S
    meter.draw(boards * IDLE_W, last_s)
    active_j = sum(one.active_j for one in jobs)
    counted_s = int(last_s / PERIOD_S + 1e-6) * PERIOD_S
    assert meter.energy_j == pytest.approx(active_j + boards * IDLE_W * counted_s, rel=1e-9)
    assert sum(one.idle_j for one in jobs) == pytest.approx(boards * IDLE_W * busy_s, rel=1e-9)


def test_alone_a_request_owes_all_of_what_it_caused() -> None:
    """A step for its prompt and five for its tokens: 0.6 s of F and of idle, and its own work."""
    (alone,) = served(job())
    assert alone.ends_s == pytest.approx(0.6)
    assert alone.active_j == pytest.approx(0.6 * 100 + 10 * 0.1 + 5 * 1)
    assert alone.idle_j == pytest.approx(0.6 * IDLE_W)


def test_what_is_shared_is_shared_alike_and_own_work_is_not() -> None:
    """Two at once, one with twice the output: F is halved while both are there."""
    short, long = served(job(0), job(1, output=10))
    assert short.active_j == pytest.approx(0.6 * 50 + 1 + 5)
    assert long.active_j == pytest.approx(0.6 * 50 + 0.5 * 100 + 1 + 10)


def test_saturated_power_is_shared_by_the_marginal_rule() -> None:
    """g(F) in equal parts, and g(F + W) - g(F) in proportion to own work."""
    device = Device(IDLE_W, cap_w=80.0)
    one, two = served(job(0, output=1, prompt=5), job(1, output=1, prompt=15), device=device)
    shared_j = 0.2 * device.active_w(100)
    prompts_j = 0.1 * (device.active_w(100 + 2 / 0.1) - device.active_w(100))
    outputs_j = 0.1 * (device.active_w(100 + 2 / 0.1) - device.active_w(100))
    assert one.active_j == pytest.approx(shared_j / 2 + prompts_j / 4 + outputs_j / 2)
    assert two.active_j == pytest.approx(shared_j / 2 + 3 * prompts_j / 4 + outputs_j / 2)


@given(seed=st.integers(0, 999), concurrency=st.sampled_from([2, 8, 32]))
def test_identical_requests_have_one_truth(seed: int, concurrency: int) -> None:
    """Twins that ended together used the same."""
    load = Load([PACED_8B], concurrency, lengths=(100, 30), twins=True, cached=0.0, cancelled=0.0)
    jobs = served(*load.jobs(15.0, random.Random(seed)), device=SERVERS["affine"](4).device)
    pairs = list(zip(jobs[::2], jobs[1::2], strict=True))
    together = [(one, other) for one, other in pairs if one.ends_s == other.ends_s]
    assume(together)
    for one, other in together:
        assert one.active_j == pytest.approx(other.active_j, rel=1e-9)
        assert one.idle_j == pytest.approx(other.idle_j, rel=1e-9)


def test_a_long_prompt_is_taken_in_chunks() -> None:
    """A step takes so many prompt tokens at most, first come first served."""
    first, second = job(0, prompt=700), job(1, prompt=100)
    steps = list(Server(Device(IDLE_W), [first, second]).run())
    assert ROUND.chunk_tokens == 512
    assert [set(step.own_w) for step in steps[1:3]] == [{first}, {first, second}]


# ---- the load ---------------------------------------------------------------------------


@pytest.mark.parametrize("burst", [1.0, 3.0])
def test_arrivals_have_the_rate_asked_for(burst: float) -> None:
    """In bursts or not; the counts of a Poisson process vary by their root, bursts by more."""
    load = Load([PACED_8B], 16, burst=burst)
    seconds = 9_000.0
    arrivals = list(load.stream(seconds, random.Random(5)))
    expected = load.rate() * seconds
    assert abs(len(arrivals) - expected) < 4 * expected**0.5
    assert arrivals == sorted(arrivals)
    counts = [0] * int(seconds / load.burst_s)
    for at_s in arrivals:
        counts[int(at_s / load.burst_s)] += 1
    dispersion = statistics.variance(counts) / statistics.fmean(counts)
    assert (0.9 < dispersion < 1.1) if burst == 1 else dispersion > 5


def test_the_load_keeps_about_so_many_in_flight() -> None:
    """Over two minutes, the mean number in flight is within a fifth of what is asked for."""
    load = Load([PACED_8B], 32)
    jobs = list(load.jobs(200.0, random.Random(2)))
    list(Server(Device(IDLE_W), jobs).run())
    inside = [min(one.ends_s, 160.0) - max(one.arrives_s, 40.0) for one in jobs]
    in_flight = sum(seconds for seconds in inside if seconds > 0) / 120.0
    assert in_flight == pytest.approx(32, rel=0.2)


def test_a_seed_has_the_same_jobs_behind_any_sensor() -> None:
    """Cells that differ in the sensor alone are compared on the same trace."""
    traces = []
    for sensor in ("ideal", DUTY):
        jobs = Replay(Cell("affine", sensor, 4).scene, [1.0], [], seed=7).run(20.0)
        traces.append([(one.arrives_s, one.prompt, one.output, one.active_j) for one in jobs])
    assert traces[0] == traces[1]


# ---- sensors and the co-tenant ----------------------------------------------------------


@pytest.mark.parametrize("name", SENSORS)
@pytest.mark.parametrize("gain", [0.95, 1.0, 1.03])
def test_sensors_are_fair(name: str, gain: float) -> None:
    """Over 20 minutes of power that jumps, a sensor says gain times the truth, within 0.5 %."""
    rng = random.Random(3)
    meter, true_j, at_s = Meter(SENSORS[name], gain, rng), 0.0, 0.0
    while at_s < 1_200:
        watts, seconds = rng.uniform(100, 700), rng.uniform(0.005, 0.08)
        at_s += seconds
        true_j += watts * seconds
        meter.draw(watts, at_s)
    assert meter.energy_j == pytest.approx(gain * true_j, rel=0.005)


def test_a_counter_advances_in_steps() -> None:
    """Between two steps it stands still, at each it has all since the last."""
    meter = Meter(IDEAL, 1.0, random.Random(0))
    meter.draw(200.0, 0.099)
    assert meter.energy_j == 0.0
    meter.draw(200.0, 0.1)
    assert meter.energy_j == pytest.approx(20.0)


def test_a_sensor_that_looks_a_quarter_of_the_time_misses_the_rest() -> None:
    """What is drawn while it looks away is not seen, and what it saw stands for all of it."""
    meter = Meter(Sensor(seen_s=0.025), 1.0, random.Random(0))
    meter.draw(400.0, 0.025)
    meter.draw(100.0, 0.1)
    assert meter.energy_j == pytest.approx(40.0)


def test_the_other_process_is_metered_too_and_told_in_proportion() -> None:
    """It is on for about half of the time, from the quiet lead on; where the driver tells, the
    share told is that of the power; where it does not, nothing is told.
    """
    presence, on_s, at_s = Presence(CoTenant(), 5.0, random.Random(1)), 0.0, 0.0
    assert presence.active_w == 0.0
    while presence.next_s < 20_000:
        on_s += (presence.next_s - at_s) * bool(presence.active_w)
        at_s = presence.next_s
        presence.advance(at_s)
    assert on_s == pytest.approx(10_000, rel=0.1)
    usage = Usage()
    for tenth in range(1, 31):
        usage.draw(300.0, 100.0, 0.1)
        usage.read(tenth / 10, (tenth - 1) / 10)
    assert usage.own_s / usage.busy_s == pytest.approx(0.75, abs=0.01)


# ---- rules ------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["affine", "hard", "pair"])
def test_true_shares_behind_an_ideal_sensor_are_the_truth(server: str) -> None:
    """With gain 1 and idle power known, what that rule charges is the truth; overlap and tokens
    charge as much in all, and a snapshot much more.
    """
    scene = SERVERS[server](4)
    scene = Scene(scene.load, scene.device, IDEAL)
    ledger = Ledger(lambda: scene.device.idle_w * scene.device.boards)
    replay = Replay(scene, [1.0] * scene.device.boards, [ledger], 3, ledger.watch)
    ended = [one for one in replay.run(60.0) if one.ends_s < 59.8]
    assert len(ended) > 5
    for one in ended:
        assert ledger.charged_j["true shares"][one] == pytest.approx(one.active_j, rel=1e-6)
    totals = {rule: sum(ledger.charged_j[rule].values()) for rule in RULES}
    assert totals["overlap"] == pytest.approx(totals["true shares"])
    assert totals["tokens"] == pytest.approx(totals["true shares"])
    assert totals["snapshot"] > 2 * totals["true shares"]


# ---- runs, scores, gates ----------------------------------------------------------------


def test_gains_are_spread_evenly_over_the_runs() -> None:
    """Each of N boards has another of N equal parts of ± 5 %, whichever run it is in."""
    runs = plan(cells_like(["affine/*/4", "pair/*/4"]), [1000, 1001], 60.0)
    gains = sorted(gain for run in runs for gain in run.gains)
    assert len(gains) == 2 * (len(SENSORS) + 2)
    assert gains == pytest.approx([0.95 + 0.1 * (i + 0.5) / len(gains) for i in range(len(gains))])
    assert {len(run.gains) for run in runs if run.cell.server == "pair"} == {2}


def one_served(ours_j: float | None, low_j: float = 0.0, started_s: float = 70.0) -> Served:
    """A request of 100 J, 150 J with idle, on a receipt from ``low_j`` to 160 J."""
    charged = {"overlap": 110.0} | ({} if ours_j is None else {OURS: ours_j})
    return Served(1, started_s, started_s + 5, 100.0, 150.0, charged, low_j, 160.0)


def scored(*requests: Served, gain: float = 1.0, closure_error: float = 0.0) -> CellScore:
    """The score of an affine cell in which these were served."""
    cell = Cell("affine", DUTY, 4)
    run = Run(cell, 1000, 150.0, (gain,))
    return score_cell(cell, [Result(run, requests, closure_error)])


def test_a_score_is_of_relative_errors() -> None:
    """Median and 95th percentile of their sizes, the median of themselves, and the sum's."""
    found = score([(90.0, 100.0), (101.0, 100.0), (120.0, 100.0)])
    assert found is not None
    assert found._asdict() == pytest.approx(
        {"requests": 3, "median": 0.1, "p95": 0.2, "bias": 0.01, "total": 311 / 300 - 1}
    )
    assert score([]) is None


def test_gain_is_divided_out_of_errors_and_left_in_coverage() -> None:
    """A board of gain 1.05 that is right but for it: no error, and one as it stands."""
    found = scored(one_served(105.0), one_served(105.0, low_j=151.0), gain=1.05)
    after, standing = found.errors["after"][OURS], found.errors_as_they_stand["after"][OURS]
    assert after is not None
    assert standing is not None
    assert (after.median, standing.median) == pytest.approx((0.0, 0.05))
    assert found.coverage["after"] == 0.5
    assert found.coverage["first"] is None
    assert found.errors["first"][OURS] is None


def test_a_receipt_that_tells_nothing_is_counted() -> None:
    """A request whose energy is unknown has no error, and is not left out in silence."""
    found = scored(one_served(None), one_served(100.0))
    assert found.unknown == 1
    after = found.errors["after"][OURS]
    assert after is not None
    assert after.requests == 1


@pytest.mark.parametrize(
    ("requests", "closure_error", "failed"),
    [
        ([one_served(101.0)] * 9 + [one_served(101.0, low_j=155.0)], 0.0, set()),
        ([one_served(102.0)], 0.0, {"error after 60 s", "coverage"}),
        (
            [one_served(115.0)],
            1e-6,
            {"error after 60 s", "no worse than overlap time", "closure", "coverage"},
        ),
    ],
)
def test_gates_say_what_is_not_kept(
    requests: list[Served], closure_error: float, failed: set[str]
) -> None:
    """The limits on the error, on overlap time, on closure and on coverage, which may be too
    high as well as too low.
    """
    found = verdicts([scored(*requests, closure_error=closure_error)])
    assert {verdict.gate for verdict in found if not verdict.passed} == failed


# ---- the command ------------------------------------------------------------------------


def test_the_grid_is_whole() -> None:
    """Every server behind the 25-of-100 ms sensor at every concurrency, and the three that have
    limits behind every sensor too.
    """
    missing = {
        Cell(server, sensor, concurrency)
        for server in SERVERS
        for sensor in (SENSORS if server in ("affine", "saturating", "hard") else [DUTY])
        for concurrency in CONCURRENCY
    } - set(CELLS)
    assert missing == {Cell("identical", DUTY, 1)}


def test_a_quick_run_has_every_row(tmp_path: Path) -> None:
    """Every cell is in the table with a figure for every rule, and the page says when, with what
    and by which seeds it was made; the plot lies beside it.
    """
    require_module("matplotlib", "pip install 'inferprint[bench]'")
    result = benchmark("--quick", "--cells", "*/25-of-100/4", "--out", tmp_path)
    page = (tmp_path / "attribution-part.md").read_text()
    assert result.strip() == page.strip()
    header, _, *rows = page.split("signed median.\n\n")[1].split("\n\n")[0].splitlines()
    assert [name.strip() for name in header.split("|")[3:-1]] == [*RULES, OURS]
    assert [row.split()[1] for row in rows] == [f"{server}/25-of-100/4" for server in SERVERS]
    for row in rows:
        figures = row.split("|")[3:-1]
        assert len(figures) == len(RULES) + 1
        assert all(figure.count("/") == 2 for figure in figures), row
    assert "seeds 1000" in page
    assert "Python 3." in page
    assert (tmp_path / "attribution-part.png").read_bytes().startswith(b"\x89PNG")


def benchmark(*arguments: str | Path) -> str:
    """What the command prints, in a process of its own: a pool and a plot leave files open."""
    result = run_python("-m", "benchmarks.attribution", *arguments, timeout_s=110)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_two_processes_find_the_same_as_one(tmp_path: Path) -> None:
    """A run depends on its seed and gains alone."""
    arguments = ["--quick", "--json", "--cells", "*/ideal/4", "--seeds", "3", "--out", tmp_path]
    alone, spread = (
        json.loads(benchmark(*arguments, "--processes", processes)) for processes in ("1", "2")
    )
    assert len(alone["cells"]) == 3
    assert alone["cells"] == spread["cells"]


def test_json_and_check_tell_of_the_gates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One JSON object; the exit status tells of failed gates only if it is asked to; without
    matplotlib there is no plot, and what to install is said.
    """
    monkeypatch.setattr(command, "can_plot", lambda: False)
    arguments = ["--json", "--cells", "affine/ideal/16", "--seeds", "3-4", "--processes", "1"]
    status = command.main([*arguments, "--check", "--out", str(tmp_path)])
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["seeds"] == [3, 4]
    (cell,) = report["cells"]
    assert (cell["server"], cell["sensor"], cell["concurrency"]) == ("affine", "ideal", 16)
    assert cell["errors"]["after"][OURS]["requests"] > 50
    assert cell["closure_error"] <= 1e-9
    assert status == int(not all(gate["passed"] for gate in report["gates"]))
    assert MISSING in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["attribution-part.md"]


def test_a_cell_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what a cell is called."""
    assert command.main(["--cells", "nosuch"]) == 2
    assert "affine/25-of-100/1" in capsys.readouterr().err
