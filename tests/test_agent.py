"""The host's agent and its workers, in one process: the public API of a worker is unchanged."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import inferprint
from agents import agent_at, request, until, worker_of
from inferprint import Config, ConfigError, Device, InferprintError, Reading, Tracker
from inferprint.agent import Agent
from rig import Kept, SteadySource, live


def test_a_workers_receipts_are_the_agents(tmp_path: Path) -> None:
    """What a worker is told of a request is what the agent's exporters get, to the last figure."""
    stored, kept = Kept(), Kept()
    with (
        agent_at(tmp_path, exporters=[stored], location="FRA", gpu_idle_w=40.0) as agent,
        worker_of(agent, kept) as tracker,
    ):
        with tracker.request("llama", labels={"route": "/chat"}) as one:
            one.add_tokens(input=20, cached_input=5, output=1)
            time.sleep(0.15)
            one.add_tokens(output=6)
        receipt = one.receipt(timeout=20)
        until(lambda: stored.receipts and kept.receipts)
        assert kept.receipts == [receipt]
        (same,) = stored.receipts
    assert receipt.provenance == "prorated"
    assert receipt.tokens == inferprint.Tokens(20, 5, 7)
    assert receipt.labels == {"route": "/chat"}
    assert float(receipt.energy.total_j or 0) > 0
    assert receipt.carbon is not None
    assert abs((same.started_at - receipt.started_at).total_seconds()) < 1  # type: ignore[operator]
    plain = [one.to_dict() | {"started_at": None} for one in (same, receipt)]
    assert plain[0] == plain[1]


def test_receipts_of_several_workers_sum_to_the_books(tmp_path: Path) -> None:
    """Three workers' overlapping requests are charged once, and the books close."""
    with (
        agent_at(tmp_path, idle_policy="in_flight", gpu_idle_w=40.0) as agent,
        worker_of(agent) as one,
        worker_of(agent) as two,
        worker_of(agent) as three,
    ):
        with one.request("a") as a, two.request("b") as b, three.request("c") as c:
            time.sleep(0.5)
        found = [float(r.receipt(timeout=20).energy.total_j or 0) for r in (a, b, c)]
        (books,) = one.balance().devices.values()
        assert one.balance().closure_error <= 1e-9
    charged_j = books.requests_active_j + books.requests_idle_j
    assert sum(found) == pytest.approx(charged_j, rel=1e-6)
    assert max(found) == pytest.approx(min(found), rel=0.2)


def test_children_are_in_their_parents_receipt(tmp_path: Path) -> None:
    """A request inside another is its child through the agent too, and is not paid for twice."""
    with agent_at(tmp_path, gpu_idle_w=40.0) as agent, worker_of(agent) as tracker:
        with tracker.request("outer") as outer:
            with tracker.request("inner"):
                time.sleep(0.3)
            with tracker.request("inner"):
                time.sleep(0.3)
        receipt = outer.receipt(timeout=20)
    assert [child.model for child in receipt.children] == ["inner", "inner"]
    own_j = float(receipt.energy.active_j or 0)
    assert all(own_j < float(child.energy.active_j or 0) / 2 for child in receipt.children)


async def test_a_receipt_is_awaited(tmp_path: Path) -> None:
    """``await request.settled()`` works as with books of one's own."""
    with agent_at(tmp_path) as agent, worker_of(agent) as tracker:
        async with tracker.request("m") as one:
            await asyncio.sleep(0.05)
        receipt = await one.settled(timeout=20)
    assert receipt.energy.total_j is not None


def test_an_estimate_is_had_at_once(tmp_path: Path) -> None:
    """It is provisional, about what one share of the host has earned, and becomes the receipt."""
    with (
        agent_at(tmp_path, idle_policy="in_flight", gpu_idle_w=40.0) as agent,
        worker_of(agent) as tracker,
    ):
        request(tracker, 0.5).receipt(timeout=20)
        with tracker.request("m") as one:
            time.sleep(1.0)
            estimate = one.estimate()
        receipt = one.receipt(timeout=20)
        assert one.estimate() == receipt
    assert "provisional" in estimate.flags
    assert float(estimate.energy.total_j or 0) == pytest.approx(100.0, rel=0.5)
    assert float(receipt.energy.total_j or 0) == pytest.approx(100.0, rel=0.5)


def test_an_estimate_before_anything_is_known_says_so(tmp_path: Path) -> None:
    """No agent, no figures: None, not 0."""
    with Tracker(Config(agent=str(tmp_path / "none"))) as tracker, tracker.request("m") as one:
        estimate = one.estimate()
    assert estimate.energy.total_j is None
    assert {"provisional", "agent_lost"} <= estimate.flags


def test_flush_settles_and_hands_over(tmp_path: Path) -> None:
    """After it every request that had ended has its receipt with the exporters."""
    kept = Kept()
    with agent_at(tmp_path) as agent, worker_of(agent, kept) as tracker:
        for _ in range(50):
            request(tracker, 0.0)
        assert tracker.flush(timeout=20)
        assert len(kept.receipts) == 50
        assert not any("agent_lost" in one.flags for one in kept.receipts)


def test_a_stop_settles_what_has_ended(tmp_path: Path) -> None:
    """A worker that stops hands over what the agent has settled by then."""
    kept = Kept()
    with agent_at(tmp_path) as agent:
        with worker_of(agent, kept) as tracker:
            request(tracker, 0.01)
        until(lambda: agent.workers == 0)
    assert [one.model for one in kept.receipts] == ["m"]


def test_status_tells_of_the_worker_alone(tmp_path: Path) -> None:
    """Requests in flight are those of the process; the agent has those of all."""
    with agent_at(tmp_path) as agent, worker_of(agent) as one, worker_of(agent) as two:
        with one.request("a") as running, two.request("b"):
            assert one.status().in_flight == {"a": 1}
            assert one.requests_in_flight() == [running]
            until(lambda: agent.tracker.status().in_flight == {"a": 1, "b": 1})
        until(lambda: agent.tracker.status().in_flight == {})


def test_the_agents_settings_say_what_energy_means(tmp_path: Path) -> None:
    """Grid, price and policy are of the host; a worker's own are those until it is connected."""
    settings = {"location": "FRA", "electricity_price": 0.3, "currency": "EUR"}
    with (
        agent_at(tmp_path, idle_policy="separate", **settings) as agent,
        worker_of(agent, location="DEU") as tracker,
    ):
        assert tracker.factors == agent.tracker.factors
        receipt = request(tracker).receipt(timeout=20)
    assert receipt.idle_policy == "separate"
    assert receipt.cost is not None
    assert receipt.cost.currency == "EUR"


def test_a_request_over_its_budget_is_stopped(tmp_path: Path) -> None:
    """What a request has used is known in the worker while it runs."""
    budget = inferprint.Budget(energy_j=20.0)
    with agent_at(tmp_path, gpu_idle_w=40.0) as agent, worker_of(agent) as tracker:
        request(tracker, 0.3).receipt(timeout=20)

        def run() -> None:
            with tracker.request("m", budget=budget) as one:
                for _ in range(1000):
                    time.sleep(0.02)
                    one.add_tokens(output=1)

        with pytest.raises(inferprint.BudgetExceeded):
            run()


def test_quotes_are_made_of_what_the_agent_learned(tmp_path: Path) -> None:
    """By a worker that has told of no request itself."""
    with agent_at(tmp_path) as agent, worker_of(agent) as busy, worker_of(agent) as asking:
        for _ in range(6):
            with busy.request("m") as one:
                one.add_tokens(input=50)
                for _ in range(10):
                    time.sleep(0.02)
                    one.add_tokens(output=3)
        busy.flush(20)
        until(lambda: asking.quote("m", 50, output_tokens=30).energy.total_j is not None)
        quote = asking.quote("m", 50, output_tokens=30)
    assert float(quote.energy.total_j or 0) > 0
    assert float(quote.duration_s or 0) > 0


def test_feedback_reaches_the_agents_exporters(tmp_path: Path) -> None:
    """Where the receipts are kept; of a request of another process it does not."""

    class Told(Kept):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[tuple[str, bool]] = []

        def feedback(self, request_id: str, useful: bool) -> None:
            self.told.append((request_id, useful))

    told = Told()
    with agent_at(tmp_path, exporters=[told]) as agent, worker_of(agent) as tracker:
        one = request(tracker, 0.01)
        assert tracker.feedback(one.request_id, useful=False)
        assert not tracker.feedback("someone-else-1", useful=False)
        until(lambda: told.told == [(one.request_id, False)])


class Cpu:
    """A CPU of 2 cores that this host's processes keep busy, by a tenth of them by its own."""

    def devices(self) -> list[Device]:
        return [Device("cpu:0", "cpu", "cpu", idle_w=10.0, capacity=2.0)]

    def read(self) -> list[Reading]:
        now_ns = time.monotonic_ns()
        own_s = time.process_time()
        return [Reading("cpu:0", now_ns, 50e-9 * now_ns, "measured", 10 * own_s, own_s)]

    def close(self) -> None:
        pass


def test_the_workers_cpu_time_is_the_agents_own(tmp_path: Path) -> None:
    """What a worker computes is not another process's: here both are one, and count twice."""
    with agent_at(tmp_path, Cpu()) as agent, worker_of(agent) as tracker:
        with tracker.request("m") as one:
            deadline_s = time.monotonic() + 0.6
            while time.monotonic() < deadline_s:
                pass
        receipt = one.receipt(timeout=20)
        (books,) = agent.tracker.balance().devices.values()
    active_j = books.requests_active_j
    assert float(receipt.energy.active_j or 0) == pytest.approx(active_j, rel=0.5)
    # Of ten seconds of which one is this process's, two are told.
    assert active_j / (active_j + books.other_processes_j) == pytest.approx(0.2, abs=0.05)


def test_given_sources_win_over_the_settings_agent(tmp_path: Path) -> None:
    """A tracker that has its sources needs no agent."""
    with live(agent=str(tmp_path / "none")) as tracker:
        assert request(tracker, 0.01).receipt(timeout=20).energy.total_j is not None


def test_what_was_learned_is_saved_by_the_agent(tmp_path: Path) -> None:
    """A worker says where it is."""
    with (
        agent_at(tmp_path) as agent,
        worker_of(agent) as tracker,
        pytest.raises(InferprintError, match="learned_path"),
    ):
        tracker.save(str(tmp_path / "learned.json"))


@pytest.mark.parametrize("path", ["", " ", "/" + "x" * 200])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    """With what would be right."""
    with pytest.raises(ConfigError, match="agent="):
        Config(agent=path)
    if not path.strip():
        with pytest.raises(ConfigError, match="socket="):
            Agent(Config(), socket=path, sources=[SteadySource()])


def test_a_tracker_of_the_agent_leaves_nothing_behind(tmp_path: Path) -> None:
    """Started and stopped, its socket is gone."""
    with agent_at(tmp_path) as agent:
        assert Path(agent.socket).is_socket()
    assert list(tmp_path.iterdir()) == []


def test_requests_are_on_the_devices_that_they_name(tmp_path: Path) -> None:
    """Through the agent as without one; those of other GPUs have no part in them."""
    sources = [SteadySource(100.0, "gpu:0"), SteadySource(300.0, "gpu:1")]
    with (
        agent_at(tmp_path, *sources, idle_policy="in_flight", gpu_idle_w=40.0) as agent,
        worker_of(agent) as tracker,
    ):
        request(tracker, 0.3).receipt(timeout=20)
        with (
            tracker.request("m", devices=[1]) as one,
            tracker.request("m", devices=["gpu:0"]) as two,
        ):
            time.sleep(1.0)
            estimates = [one.estimate(), two.estimate()]
        receipts = [one.receipt(timeout=20), two.receipt(timeout=20)]
    # The second is the first's child: until it ends the first is not in flight.
    assert float(receipts[1].energy.total_j or 0) == pytest.approx(100, rel=0.2)
    assert float(estimates[1].energy.total_j or 0) == pytest.approx(100, rel=0.5)
    assert float(receipts[0].energy.total_j or 0) < 60


def test_a_worker_is_on_the_gpus_that_it_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its GPU 0 is the host's GPU 1."""
    sources = [SteadySource(100.0, "gpu:0"), SteadySource(300.0, "gpu:1")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with (
        agent_at(tmp_path, *sources, idle_policy="in_flight", gpu_idle_w=40.0) as agent,
        worker_of(agent) as tracker,
    ):
        all_it_sees = request(tracker, 0.5)
        with tracker.request("m", devices=["cuda:0"]) as named:
            time.sleep(0.5)
        found = [one.receipt(timeout=20) for one in (all_it_sees, named)]
    for receipt in found:
        assert float(receipt.energy.total_j or 0) == pytest.approx(150, rel=0.2)
