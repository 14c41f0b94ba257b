"""Ray Serve: what its context tells, and a cluster of two nodes with an agent each."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import psutil
import pytest

import inferprint
from agents import until
from inferprint import Balance, Config, ConfigError, Receipt, Tracker
from inferprint.agent import Agent
from inferprint.integrations.ray_serve import (
    SERVE_REQUEST_ID,
    _Opening,
    joined,
    track_deployment,
)
from inferprint.testing import FakeClock, FakeSource
from inferprint_exporters.store import StoreExporter
from receipts import component, receipt
from rig import Kept, Rig, SteadySource, by_hand
from stores import reported, url_of
from support import REPO, require_module, run_python

INSTALL = "pip install 'inferprint[ray]'"
GPUS = {
    "first": [SteadySource(100.0, "GPU-a")],
    "second": [SteadySource(50.0, "GPU-b"), SteadySource(400.0, "GPU-c")],
}
HERE = {"application": "app", "deployment": "Chat", "replica": "r1", "node": "n1"}


@contextmanager
def process_wide(tracker: Tracker) -> Iterator[None]:
    """Makes a tracker the process-wide one for a while."""
    inferprint.set_tracker(tracker)
    try:
        yield
    finally:
        inferprint.set_tracker(None)


@pytest.fixture
def rig() -> Iterator[Rig]:
    """The process-wide tracker, driven by hand."""
    with by_hand(watts=100.0) as rig, process_wide(rig.tracker):
        yield rig


def asked(request_id: str = "a", route: str = "/chat", model: str = "") -> SimpleNamespace:
    """What Serve tells of a request."""
    return SimpleNamespace(request_id=request_id, route=route, multiplexed_model_id=model)


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Serve's context in a replica that was asked for something."""
    told = SimpleNamespace(alone=asked(), batch=None)
    place = SimpleNamespace(app_name="app", deployment="Chat", replica_tag="r1")
    module: Any = ModuleType("ray.serve.context")
    module._get_internal_replica_context = lambda: place
    module._serve_request_context = SimpleNamespace(get=lambda: told.alone)
    module._serve_batch_request_context = SimpleNamespace(get=lambda: told.batch)
    monkeypatch.setitem(sys.modules, "ray.serve.context", module)
    monkeypatch.setattr("inferprint.integrations.ray_serve._node", lambda: "n1")
    told.module = module
    return told


@track_deployment(labels={"own": "1"})
def answer() -> None:
    """What a deployment does."""


@track_deployment()
def pipeline() -> None:
    """A deployment that makes requests of its own."""
    with inferprint.request("inside"):
        pass


def test_a_call_says_where_and_for_what_it_ran(rig: Rig, context: SimpleNamespace) -> None:
    """So do the requests inside it; the model is the deployment where none was asked for."""
    answer()
    pipeline()
    found = {"serve_request_id": "a", "route": "/chat", **HERE}
    plain, outer = (one for one in rig.receipts() if one.model == "Chat")
    assert plain.labels == {**found, "own": "1"}
    assert [one.labels for one in (outer, *outer.children)] == [found, found]


def test_the_model_that_was_asked_for_is_its_name(rig: Rig, context: SimpleNamespace) -> None:
    """Unless a name was given, which is taken, and may be empty."""
    context.alone = asked(model="small")
    for model in (None, "large", ""):
        track_deployment(model=model)(lambda: None)()
    assert [one.model for one in rig.receipts()] == ["small", "large", ""]


def test_of_a_batch_what_its_requests_share_is_told(rig: Rig, context: SimpleNamespace) -> None:
    """A batch of two has no id of a request; a batch of one has its own, and not an older one."""
    context.batch = [asked("b"), asked("c")]
    answer()
    context.batch = [asked("b", route="")]
    answer()
    both, one = rig.receipts()
    assert both.labels == {**HERE, "route": "/chat", "own": "1"}
    assert one.labels == {**HERE, "serve_request_id": "b", "own": "1"}


def test_outside_of_serve_it_is_measured_all_the_same(rig: Rig) -> None:
    """By the function's name, without the labels; so in a unit test of a deployment."""
    answer()
    one = rig.one_receipt()
    assert (one.model, one.labels) == ("answer", {"own": "1"})


def test_a_call_outside_of_a_replica_has_no_place(rig: Rig, context: SimpleNamespace) -> None:
    """As in a driver that has imported Serve."""
    context.alone = None
    context.module._get_internal_replica_context = lambda: None
    answer()
    one = rig.one_receipt()
    assert (one.model, one.labels) == ("answer", {"own": "1"})


def test_a_context_of_another_shape_is_a_fault(rig: Rig, context: SimpleNamespace) -> None:
    """It is counted, and the call goes on, without labels."""
    del context.module._serve_request_context
    answer()
    assert rig.one_receipt().labels == {"own": "1"}
    assert ("integration ray_serve", "AttributeError") in rig.tracker.status().source_errors


def test_a_deployment_may_name_its_devices() -> None:
    """As one that waits for others and computes nothing on a GPU of its node."""
    clock, kept = FakeClock(), Kept()
    sources = [FakeSource(clock, device=name, watts=50.0) for name in ("gpu:0", "gpu:1")]
    with (
        Tracker(sources=sources, exporters=[kept], clock=clock) as tracker,
        process_wide(tracker),
    ):
        track_deployment(devices=[1])(lambda: clock.advance(1.0))()
        tracker.flush()
        balance = tracker.balance().devices
    charged_j = [one.requests_unsplit_j + one.requests_idle_j for one in balance.values()]
    assert charged_j[0] == 0.0
    assert float(kept.receipts[0].energy.total_j or 0.0) > 0.0


def test_it_is_refused_where_it_would_measure_nothing() -> None:
    """A class is made by a call, and answers by its methods."""
    with pytest.raises(ConfigError, match="the method that serves, such as __call__"):
        track_deployment()(dict)


def test_a_wrong_setting_is_told_when_a_replica_starts() -> None:
    """That is where the deployment is unpickled, and before any request."""
    packed = pickle.dumps(_Opening("m", "name", {}, ("cpu",)))
    script = f"import pickle; pickle.loads({packed!r})"
    assert run_python("-c", script).returncode == 0
    result = run_python("-c", script, env={"INFERPRINT_SAMPLE_INTERVAL_S": "-1"})
    assert "ConfigError: sample_interval_s" in result.stderr


def hop(name: str, request_id: str, duration_s: float, active_j: float) -> Receipt:
    """A receipt of one of Serve's requests."""
    labels = {SERVE_REQUEST_ID: request_id}
    parts = {"gpu": component(active_j, 0.0, 0.0)}
    return receipt(request_id=name, labels=labels, duration_s=duration_s, parts=parts)  # type: ignore[arg-type]


def test_hops_are_joined_under_the_one_that_waited() -> None:
    """Each counts once: in whichever order, delivered twice, or inside of another."""
    inside = hop("inside", "a", 0.5, 4.0)
    writer = replace(hop("writer", "a", 1.0, 2.0), children=(inside,))
    chat, other = hop("chat", "a", 2.0, 1.0), hop("other", "b", 1.0, 8.0)
    found = joined([inside, writer, other, receipt(request_id="none"), chat, writer])
    assert set(found) == {"a", "b"}
    assert found["a"].request_id == "chat"
    assert float(found["a"].with_children().energy.total_j or 0.0) == pytest.approx(7.0)
    assert found["b"] == other


# ---- a cluster -------------------------------------------------------------------------------


class Node(NamedTuple):
    """What the agent of a node knows in the end."""

    receipts: list[Receipt]
    balance: Balance
    faults: Mapping[Any, int]


class Ran(NamedTuple):
    """What was asked of the cluster, and what came of it."""

    told: dict[str, Any]
    nodes: dict[str, Node]
    store: str
    left: list[str]

    def hops(self, request_id: str) -> dict[str, Receipt]:
        """The receipts of one of Serve's requests, by node."""
        return {
            name: one
            for name, node in self.nodes.items()
            for one in node.receipts
            if one.labels.get(SERVE_REQUEST_ID) == request_id
        }


@contextmanager
def cluster(folder: str, sockets: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The program that has the cluster, with its files in this folder."""
    path = os.pathsep.join(filter(None, sys.path))  # as in this process, for replicas too
    own = {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0", "HOME": folder}
    env = {**os.environ, **own, "PYTHONPATH": path}
    command = [sys.executable, str(REPO / "tests/ray_cluster.py"), *sockets]
    with (
        open(f"{folder}/log", "w") as log,
        subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as program,
    ):
        try:
            yield program
        finally:
            program.terminate()


def started_for(folder: str) -> list[str]:
    """The processes that were started for a cluster in this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RAY_TMPDIR") == folder:
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Two agents, on one GPU and on two, and a cluster that has served and is gone."""
    require_module("ray", INSTALL)
    store = url_of(tmp_path_factory.mktemp("ray"))
    # Sockets and Ray's own have paths of about a hundred characters at most.
    folder = tempfile.mkdtemp(prefix="ray")
    kept = {"first": Kept(), "second": Kept()}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        agents = {
            name: stack.enter_context(
                Agent(
                    Config(),
                    socket=f"{folder}/{name}.sock",
                    sources=sources,
                    exporters=[kept[name], StoreExporter(store)],
                )
            )
            for name, sources in GPUS.items()
        }
        program = stack.enter_context(cluster(folder, [one.socket for one in agents.values()]))
        assert program.stdin is not None
        assert program.stdout is not None
        said = program.stdout.readline()
        assert said, Path(f"{folder}/log").read_text()
        told = json.loads(said)
        until(lambda: [len(one.receipts) for one in kept.values()] == [12, 16], 60.0)
        nodes = {}
        for name, agent in agents.items():
            agent.tracker.flush(timeout=20.0)
            status = agent.tracker.status()
            nodes[name] = Node(kept[name].receipts, agent.tracker.balance(), status.source_errors)
        program.communicate(timeout=60.0)
        assert program.returncode == 0, Path(f"{folder}/log").read_text()
        until(lambda: not started_for(folder), 30.0)
        yield Ran(told, nodes, store, started_for(folder))


@pytest.mark.huge
@pytest.mark.timeout(400)
class TestCluster:
    """A deployment on each of two nodes, the first of which asks the second."""

    def test_each_hop_is_charged_on_its_own_node(self, ran: Ran) -> None:
        """By HTTP and through handles, joined by Serve's id of the request."""
        for request_id in ("http-1", "http-2", *ran.told["handle"]):
            hops = ran.hops(request_id)
            assert [one.model for one in hops.values()] == ["chat", "Writer"]
            for name, one in hops.items():
                assert one.labels["node"] == ran.told["nodes"][name]
                assert one.labels["application"] == "talk"
                assert one.labels.get("route") == ("/chat" if "http" in request_id else None)
                assert float(one.energy.total_j or 0.0) > 0.0
            assert hops["second"].tokens == inferprint.Tokens(3, None, 4)
        assert len({*ran.told["handle"]}) == 4

    def test_receipts_of_a_node_are_what_its_books_charged(self, ran: Ran) -> None:
        """All of them, on both nodes, whose books close."""
        for node in ran.nodes.values():
            charged_j = sum(
                device.requests_active_j + device.requests_idle_j + device.requests_standing_j
                for device in node.balance.devices.values()
            )
            receipts_j = sum(float(one.energy.total_j or 0.0) for one in node.receipts)
            assert receipts_j == pytest.approx(charged_j, rel=1e-6)
            assert node.balance.closure_error < 1e-9
            assert not node.faults

    def test_a_replica_runs_on_the_gpus_that_ray_gave_it(self, ran: Ran) -> None:
        """One of the two of its node: the other is charged to nobody."""
        devices = ran.nodes["second"].balance.devices.values()
        charged_j = [one.requests_idle_j + one.requests_standing_j for one in devices]
        assert sorted(joules > 0.0 for joules in charged_j) == [False, True]

    def test_what_a_request_cost_over_all_nodes_is_one_sum(self, ran: Ran) -> None:
        """In a program, and in a report of the store that both agents write to."""
        whole = joined(one for node in ran.nodes.values() for one in node.receipts)
        assert len(whole) == 16
        for request_id in ("http-1", ran.told["handle"][0]):
            both = ran.hops(request_id)
            sum_j = sum(float(one.energy.total_j or 0.0) for one in both.values())
            one = whole[request_id]
            assert one.model == "chat"
            assert float(one.with_children().energy.total_j or 0.0) == pytest.approx(sum_j)
            report = reported(ran.store, "--label", f"{SERVE_REQUEST_ID}={request_id}")
            assert report["requests"] == 2
            assert report["energy_j"] == pytest.approx(sum_j)
            assert set(report["models"]) == {"chat", "Writer"}

    def test_failures_and_cancels_are_those_of_every_hop(self, ran: Ran) -> None:
        """An exception, a call that is called off, and a client that goes away."""
        assert ran.told["statuses"] == {"http-1": 200, "http-2": 200, "http-bad": 500}
        assert ran.told["failed"]
        assert [one.outcome for one in ran.hops("http-bad").values()] == ["error"] * 2
        assert [one.outcome for one in ran.hops("http-gone").values()] == ["cancelled"] * 2
        for node in ran.nodes.values():
            outcomes = [one.outcome for one in node.receipts]
            assert (outcomes.count("error"), outcomes.count("cancelled")) == (2, 2)

    def test_a_stream_is_one_receipt_in_each_replica(self, ran: Ran) -> None:
        """With the time to its first item."""
        hops = ran.hops(ran.told["stream"])
        assert [one.outcome for one in hops.values()] == ["ok"] * 2
        assert hops["second"].labels["kind"] == "stream"
        assert all(one.time_to_first_token_s is not None for one in hops.values())

    def test_requests_of_a_batch_are_charged_each(self, ran: Ran) -> None:
        """Each has a receipt with its own id, and a part of what was drawn meanwhile."""
        scores = [ran.hops(name)["second"] for name in ran.told["scores"]]
        assert len({one.request_id for one in scores}) == 3
        assert all(float(one.energy.idle_j or 0.0) > 0.0 for one in scores)

    def test_a_multiplexed_model_is_named(self, ran: Ran) -> None:
        """Where it was asked for; another deployment behind it is asked for none."""
        assert [one.model for one in ran.hops(ran.told["multiplexed"]).values()][1] == "Writer"
        assert [one.model for one in ran.nodes["second"].receipts].count("small") == 1

    def test_nothing_is_left_of_the_cluster(self, ran: Ran) -> None:
        """No process that was started for it."""
        assert ran.left == []
