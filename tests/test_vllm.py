"""vLLM's stat logger: what it makes of the engine's steps, and that vLLM's own classes fit it."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import pytest

import inferprint
from inferprint import Tokens
from inferprint.integrations import vllm as ours
from inferprint.integrations.vllm import Steps
from rig import Rig, by_hand
from support import missing

STEP_S = 0.05
ABORT, ERROR, STOP = 2, 3, 0


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand(watts=100.0) as rig:
        yield rig


def iteration(tokens: int, first: Sequence[float] = (), ended: Sequence[Any] = ()) -> Any:
    """What a step told: tokens, latencies of first tokens, and who has ended."""
    return SimpleNamespace(
        num_generation_tokens=tokens,
        time_to_first_tokens_iter=list(first),
        finished_requests=list(ended),
    )


def scheduled(running: int, waiting: int = 0) -> Any:
    """Who is running after a step."""
    return SimpleNamespace(num_running_reqs=running, num_waiting_reqs=waiting)


def ended(name: str, steps: int, prompt: int = 10, cached: int = 4, reason: int = STOP) -> Any:
    """A request that was prefilled in a step and decoded in the others."""
    return SimpleNamespace(
        request_id=name,
        finish_reason=reason,
        num_prompt_tokens=prompt,
        num_cached_tokens=cached,
        num_generation_tokens=steps,
        queued_time=0.5,
        prefill_time=STEP_S,
        decode_time=(steps - 1) * STEP_S,
        inference_time=steps * STEP_S,
    )


class Engine:
    """Runs steps of 50 ms on a rig's clock."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.steps = rig, Steps("m", rig.tracker, {"app": "chat"})

    def step(self, scheduler: Any, told: Any) -> None:
        self.rig.clock.advance(STEP_S)
        self.steps.step(scheduler, told)
        self.rig.tracker.sample()


def by_name(rig: Rig) -> dict[str, Any]:
    return {one.labels.get("engine_request_id", ""): one for one in rig.receipts()}


def test_a_request_has_the_engines_own_counts(rig: Rig) -> None:
    """Prompt, cached and output tokens and the times of its parts, exactly."""
    engine = Engine(rig)
    engine.step(scheduled(1), iteration(1, first=[STEP_S]))
    engine.step(scheduled(1), iteration(1))
    engine.step(scheduled(0), iteration(1, ended=[ended("a", 3)]))
    receipt = rig.one_receipt()
    assert (receipt.model, receipt.outcome) == ("m", "ok")
    assert receipt.tokens == Tokens(10, 4, 3)
    assert receipt.labels == {
        "engine": "vllm",
        "app": "chat",
        "engine_request_id": "a",
        "queued_s": "0.500000",
        "prefill_s": "0.050000",
        "decode_s": "0.100000",
    }
    assert receipt.duration_s == pytest.approx(3 * STEP_S)
    assert receipt.time_to_first_token_s == pytest.approx(STEP_S)


def test_the_step_that_a_request_came_in_is_its(rig: Rig) -> None:
    """Its prefill is dated back: of 100 W for three steps, it has three steps' energy."""
    engine = Engine(rig)
    rig.clock.advance(1.0)
    rig.tracker.sample()
    rig.clock.advance(STEP_S)  # the prefill, whose end is the first that is told
    engine.steps.step(scheduled(1), iteration(1, first=[STEP_S]))
    rig.tracker.sample()
    engine.step(scheduled(1), iteration(1))
    engine.step(scheduled(0), iteration(1, ended=[ended("a", 3)]))
    receipt = rig.one_receipt()
    assert receipt.duration_s == pytest.approx(3 * STEP_S)
    assert receipt.energy.total_j.mid >= 100.0 * 3 * STEP_S * 0.99


def test_overlapping_requests_get_each_their_own(rig: Rig) -> None:
    """The place that one takes is that of its age, whichever ends first."""
    engine = Engine(rig)
    engine.step(scheduled(1), iteration(1, first=[STEP_S]))
    for _ in range(5):
        engine.step(scheduled(1), iteration(1))
    engine.step(scheduled(2), iteration(2, first=[STEP_S]))
    engine.step(scheduled(1), iteration(2, ended=[ended("young", 2)]))
    engine.step(scheduled(0), iteration(1, ended=[ended("old", 9)]))
    found = by_name(rig)
    assert found["young"].duration_s == pytest.approx(2 * STEP_S)
    assert found["old"].duration_s == pytest.approx(9 * STEP_S)
    assert found["old"].tokens.output == 9
    assert found["young"].energy.total_j.mid < found["old"].energy.total_j.mid


def test_books_close_whatever_the_engine_tells(rig: Rig) -> None:
    """Requests never get more than the meter counted."""
    engine = Engine(rig)
    for number in range(20):
        engine.step(scheduled(number % 4), iteration(number % 4, first=[STEP_S] * (number % 2)))
    engine.steps.close()
    rig.receipts()
    balance = rig.tracker.balance()
    assert balance.closure_error < 1e-9


def test_tokens_are_told_while_a_request_runs(rig: Rig) -> None:
    """A step's tokens are those of the places that are decoding."""
    engine = Engine(rig)
    engine.step(scheduled(2), iteration(1, first=[STEP_S]))
    first, second = engine.steps._places
    engine.step(scheduled(2), iteration(2, first=[2 * STEP_S]))
    engine.step(scheduled(2), iteration(3))
    counts = [place.call.request.tokens.output for place in (first, second)]  # type: ignore[union-attr]
    assert counts == [4, 2]
    engine.steps.close()


@pytest.mark.parametrize(
    ("reason", "outcome"), [(STOP, "ok"), (ABORT, "cancelled"), (ERROR, "error")]
)
def test_how_it_ended(rig: Rig, reason: int, outcome: str) -> None:
    """By the engine's own reason."""
    engine = Engine(rig)
    engine.step(scheduled(1), iteration(1, first=[STEP_S]))
    engine.step(scheduled(0), iteration(0, ended=[ended("a", 1, reason=reason)]))
    assert rig.one_receipt().outcome == outcome


def test_what_the_engine_forgets_is_cancelled(rig: Rig) -> None:
    """Of an aborted request nothing is told: it ends when it is no longer running; one that was
    preempted and waits goes on.
    """
    engine = Engine(rig)
    engine.step(scheduled(2), iteration(2, first=[STEP_S, STEP_S]))
    engine.step(scheduled(1, waiting=1), iteration(1))
    assert rig.receipts() == []
    engine.step(scheduled(1), iteration(1))
    assert [one.outcome for one in rig.receipts()] == ["cancelled"]
    engine.step(scheduled(0), iteration(1, ended=[ended("a", 4)]))
    assert [one.outcome for one in rig.receipts()] == ["cancelled", "ok"]


def test_a_request_of_a_single_step(rig: Rig) -> None:
    """One that is only ever seen ended has a receipt too, dated back by its own time."""
    engine = Engine(rig)
    engine.step(None, None)
    engine.step(scheduled(0), iteration(1, first=[STEP_S], ended=[ended("a", 1)]))
    receipt = rig.one_receipt()
    assert receipt.tokens == Tokens(10, 4, 1)
    assert receipt.duration_s == pytest.approx(STEP_S)


def test_a_clock_that_was_set_is_no_start(rig: Rig) -> None:
    """Latencies are of the wall clock: however long, a request came after the step before."""
    engine = Engine(rig)
    engine.step(scheduled(0), iteration(0))
    engine.step(scheduled(2), iteration(2, first=[1.8e9, -5.0]))
    engine.step(scheduled(0), iteration(2, ended=[ended("a", 2), ended("b", 2)]))
    found = by_name(rig)
    assert sorted(one.duration_s for one in found.values()) == pytest.approx([STEP_S, 2 * STEP_S])


def test_an_engine_of_another_version_goes_on(rig: Rig) -> None:
    """Stats without the fields that are known are a fault of ours, and raise nothing."""
    inferprint.set_tracker(rig.tracker)
    try:
        logger = ours._Logger(SimpleNamespace(model_config=SimpleNamespace(model="m")))
        logger.record(SimpleNamespace(), SimpleNamespace())
        logger.log_engine_initialized()
    finally:
        inferprint.set_tracker(None)
    assert ("integration vllm", "AttributeError") in rig.tracker.status().source_errors


def test_bad_settings_do_not_stop_the_engine(caplog: pytest.LogCaptureFixture) -> None:
    """It was not asked for: where no tracker can be made, it says so and stays out of the way."""

    class Bad:
        @property
        def model_config(self) -> Any:
            raise ValueError("bad")

    logger = ours._Logger(Bad())
    logger.record(scheduled(1), iteration(1))
    assert "does not track this vLLM" in caplog.text


def test_vllm_finds_it_by_its_entry_point() -> None:
    """In the group that vLLM loads stat loggers from."""
    (entry,) = entry_points(group="vllm.stat_logger_plugins", name="inferprint")
    assert entry.value == "inferprint.integrations.vllm:StatLogger"


# ---- vLLM's own classes ----------------------------------------------------------------------


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """VLLM's modules of metrics; its package takes gigabytes, and half a minute to import."""
    try:
        yield importlib.import_module("vllm.v1.metrics.loggers")
    except ImportError as error:
        missing(f"vllm ({error})", "pip install vllm")
    finally:
        vars(ours).pop("StatLogger", None)


@pytest.mark.huge
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_the_real_classes(vllm: Any, rig: Rig) -> None:
    """The engine takes ours for a stat logger, and its stats of two requests make two receipts."""
    stats = importlib.import_module("vllm.v1.metrics.stats")
    reasons = importlib.import_module("vllm.v1.engine").FinishReason
    assert {int(reasons.ABORT), int(reasons.ERROR)} == set(ours.OUTCOMES)
    assert issubclass(ours.StatLogger, vllm.StatLoggerBase)
    inferprint.set_tracker(rig.tracker)
    try:
        config = SimpleNamespace(model_config=SimpleNamespace(served_model_name="llama", model="x"))
        logger = ours.StatLogger(config, 0)
    finally:
        inferprint.set_tracker(None)
    states = [stats.RequestStateStats(arrival_time=time.time()) for _ in range(2)]
    output = SimpleNamespace(
        new_token_ids=[1], events=None, num_nans_in_logits=0, prefill_stats=None, request_id="r"
    )
    for number in range(4):
        rig.clock.advance(STEP_S)
        now_s = rig.clock.now_ns() / 1e9
        told = stats.IterationStats()
        for state in states:
            state.scheduled_ts = state.scheduled_ts or now_s - STEP_S
            first = state.num_generation_tokens == 0
            told.update_from_output(output, now_s, first, state, None, None)
            if number == 3:
                told.update_from_finished_request(
                    finish_reason=reasons.STOP,
                    request_id="r",
                    num_prompt_tokens=7,
                    max_tokens_param=4,
                    req_stats=state,
                    num_cached_tokens=2,
                )
        running = 0 if number == 3 else 2
        logger.record(stats.SchedulerStats(num_running_reqs=running), told)
        rig.tracker.sample()
    found = rig.receipts()
    assert [(one.model, one.tokens) for one in found] == [("llama", Tokens(7, 2, 4))] * 2
    assert rig.tracker.status().source_errors == {}
    assert "vllm" in sys.modules
