"""Requests that name the devices that they run on: no other device is charged to them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inferprint
from inferprint import Config, ConfigError, Tracker
from inferprint._config import visible_gpus
from inferprint.device_names import checked_names, places_of
from inferprint.records import Device, IdlePolicyName
from inferprint.testing import FakeClock, FakeSource
from inferprint.windows import Window
from nvml_sim import SimGpu, Simulator, simulated
from rig import Kept
from strategies import device_windows, idle_powers, policies, traffic
from traffic import Run, assert_closed, earned, make_books, play, sums

DEVICES = ("gpu:0", "gpu:1", "gpu:2")
GPUS = [
    Device("GPU-aa01", "gpu", "a", aliases=("MIG-1", "MIG-2")),
    Device("GPU-aa02", "gpu", "b"),
    Device("GPU-bb03", "gpu", "c"),
    Device("cpu:package-0", "cpu", "d"),
    Device("cpu:package-1", "cpu", "e"),
    Device("dram:host", "dram", "f"),
]
HOST = {3, 4, 5}

some_places = st.none() | st.frozensets(st.integers(0, len(DEVICES) - 1), max_size=len(DEVICES))


# ---- the books --------------------------------------------------------------------------


@given(
    traffic(),
    st.tuples(*map(device_windows, DEVICES)),
    policies,
    idle_powers,
    st.lists(some_places, min_size=64, max_size=64),
)
def test_the_books_of_every_device_close_whatever_requests_name(
    runs: list[Run],
    windows: tuple[list[Window], ...],
    policy: IdlePolicyName,
    idle_w: float | None,
    named: list[frozenset[int] | None],
) -> None:
    """After each window the terms sum to the meter, and in the end the shares to what the books
    charged; nothing is charged where a request does not run.
    """
    books = make_books(policy, idle_w, DEVICES)
    flat = [one for of_device in windows for one in of_device]
    accounts = play(
        books, runs, flat, watch=lambda _: assert_closed(books), places=lambda n: named[n % 64]
    )
    assert all(account.settled for account in accounts)
    for place, device_id in enumerate(DEVICES):
        balance = books.balance()[device_id]
        charged_j = (
            balance.requests_active_j,
            balance.requests_idle_j,
            balance.requests_standing_j,
        )
        on_it = [one for one in accounts if one.places is None or place in one.places]
        allowed_j = 1e-9 * balance.measured_j
        assert sums(books, accounts, place) == pytest.approx(charged_j, rel=1e-9, abs=allowed_j)
        for account in set(accounts) - set(on_it):
            stake = account.stakes[place]
            assert (stake.active_j, stake.idle_j, stake.standing_j, stake.own_j) == (0, 0, 0, 0)


@given(
    traffic(),
    st.tuples(*map(device_windows, DEVICES)),
    policies,
    idle_powers,
    st.lists(some_places, min_size=64, max_size=64),
)
def test_a_device_shares_as_if_there_were_only_the_requests_on_it(
    runs: list[Run],
    windows: tuple[list[Window], ...],
    policy: IdlePolicyName,
    idle_w: float | None,
    named: list[frozenset[int] | None],
) -> None:
    """Each request gets from each device what it gets in books of that device alone, which are
    told of its own requests and of no other.
    """
    runs = [Run(one.start_ns, one.end_ns) for one in runs]
    books = make_books(policy, idle_w, DEVICES)
    flat = [one for of_device in windows for one in of_device]
    accounts = play(books, runs, flat, places=lambda n: named[n % 64])
    for place, device_id in enumerate(DEVICES):
        on_it = [n for n in range(len(runs)) if named[n % 64] is None or place in named[n % 64]]
        alone = make_books(policy, idle_w, [device_id])
        expected = play(alone, [runs[n] for n in on_it], windows[place])
        measured_j = alone.balance()[device_id].measured_j
        for number, account in zip(on_it, expected, strict=True):
            wanted = earned(alone, account, 0)
            found = earned(books, accounts[number], place)
            assert tuple(found) == pytest.approx(tuple(wanted), rel=1e-9, abs=1e-9 * measured_j)


# ---- names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["GPU-aa01"], {0}),
        (["GPU-aa01", "GPU-bb03"], {0, 2}),
        (["GPU-b"], {2}),
        (["MIG-2"], {0}),
        ([1, 2], {1, 2}),
        (["cuda:1"], {1}),
        (["cuda"], {0}),
        (["gpu"], {0, 1, 2}),
        (["cpu"], set()),
        ([], set()),
        (["cpu:package-1"], {4, 5}),
        (["GPU-aa01", "cpu:package-0"], {0, 3, 5}),
    ],
)
def test_names_mean_devices(names: list[object], places: set[int]) -> None:
    """GPUs are those that are named; of CPUs and memory all, or those that are named."""
    meant = places_of(checked_names(names), GPUS)
    host = HOST if not any("cpu:" in str(name) for name in names) else set()
    assert meant.places == places | host
    assert meant.unknown == ()


@pytest.mark.parametrize("name", ["GPU-a", "GPU-zz", "", "cuda:3", "7", "cuda:x", "MIG-3", "-1"])
def test_a_name_of_nothing_or_of_several_is_unknown(name: str) -> None:
    """The rest of the list counts."""
    meant = places_of([name, "GPU-bb03"], GPUS)
    assert meant == ({2} | HOST, (name,))


@pytest.mark.parametrize("devices", ["GPU-1", b"x", 3])
def test_what_is_no_list_is_refused(devices: Any) -> None:
    """With where the names are to be had."""
    tracker = Tracker(sources=[], clock=FakeClock())
    for refuse in (
        lambda: tracker.request("m", devices=devices),
        lambda: tracker.track(devices=devices),
        lambda: inferprint.track(devices=devices),
    ):
        with pytest.raises(ConfigError, match="inferprint doctor"):
            refuse()
    tracker.stop()


# ---- trackers ---------------------------------------------------------------------------


class Machine(NamedTuple):
    clock: FakeClock
    sources: dict[str, FakeSource]
    tracker: Tracker
    kept: Kept

    def second(self) -> None:
        """A second that is a window of its own."""
        self.clock.advance(1.0)
        self.tracker.sample()

    def gpu_j(self, receipt: inferprint.Receipt) -> float:
        return float(receipt.energy.by_component["gpu"].total_j or math.nan)


@contextmanager
def machine(**settings: Any) -> Iterator[Machine]:
    """Two GPUs and a CPU; idle power is known, and nobody pays for the waiting."""
    clock, kept = FakeClock(), Kept()
    sources = {
        "GPU-1": FakeSource(clock, "GPU-1", watts=300.0, idle_w=100.0),
        "GPU-2": FakeSource(clock, "GPU-2", watts=500.0, idle_w=100.0),
        "cpu:0": FakeSource(clock, "cpu:0", "cpu", watts=50.0, idle_w=10.0),
    }
    config = Config(idle_policy="in_flight", **settings)
    with Tracker(config, sources=[*sources.values()], exporters=[kept], clock=clock) as tracker:
        yield Machine(clock, sources, tracker, kept)


def test_two_models_on_two_gpus_do_not_share(caplog: pytest.LogCaptureFixture) -> None:
    """Each gets its own GPU, whole; the CPU's energy is shared by both."""
    with machine() as rig:
        with (
            rig.tracker.request("a", devices=["GPU-1"]) as first,
            rig.tracker.request("b", devices=[1]) as second,
        ):
            second._parent = None  # not one inside the other: side by side
            rig.clock.advance(2.0)
        rig.tracker.sample()
        assert rig.gpu_j(first.receipt()) == pytest.approx(600.0)
        assert rig.gpu_j(second.receipt()) == pytest.approx(1000.0)
        cpu = [one.receipt().energy.by_component["cpu"].total_j for one in (first, second)]
        assert [float(joules or 0) for joules in cpu] == pytest.approx([50.0, 50.0])
        assert rig.tracker.balance().closure_error < 1e-9
    assert caplog.messages == []


def test_a_parallel_group_is_one_request_on_several_gpus() -> None:
    """Tensor or pipeline parallel: its receipt has the energy of all of them."""
    with machine() as rig:
        with rig.tracker.request("m", devices=["cuda:0", "cuda:1"]) as request:
            rig.clock.advance(1.0)
        rig.tracker.sample()
        assert rig.gpu_j(request.receipt()) == pytest.approx(800.0)


def test_a_model_on_the_cpu_has_no_part_in_the_gpus() -> None:
    """Its receipt has no GPU, and what the GPUs drew is nobody's."""
    with machine() as rig:
        with rig.tracker.request("m", devices=["cpu"]) as request:
            rig.clock.advance(1.0)
        rig.tracker.sample()
        receipt = request.receipt()
        assert set(receipt.energy.by_component) == {"cpu"}
        assert float(receipt.energy.total_j or 0) == pytest.approx(50.0)
        assert "missing_reading" not in receipt.flags
        assert rig.tracker.balance().devices["GPU-1"].unattributed_j == pytest.approx(200.0)


def test_a_request_inside_another_runs_on_its_devices() -> None:
    """Unless it names its own; the outer one does not run meanwhile, wherever that is."""
    with machine() as rig:
        with rig.tracker.request("outer", devices=["GPU-1"]) as outer:
            rig.second()
            with rig.tracker.request("inner") as inner:
                rig.second()
            with rig.tracker.request("other", devices=["GPU-2"]) as other:
                rig.second()
        rig.clock.advance(1e-9)
        rig.tracker.sample()
        assert [rig.gpu_j(one.receipt()) for one in (outer, inner)] == pytest.approx([300.0] * 2)
        assert rig.gpu_j(other.receipt()) == pytest.approx(500.0)
        assert rig.gpu_j(outer.receipt().with_children()) == pytest.approx(1100.0)


def test_a_device_that_is_not_read_is_told_and_charges_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is counted and logged once, and receipts say that a device is missing; a request is not
    charged for another GPU in its place.
    """
    with machine() as rig:
        for _ in range(3):
            with rig.tracker.request("m", devices=["GPU-9"]) as request:
                rig.clock.advance(1.0)
            assert "missing_reading" in request.estimate().flags
            rig.tracker.sample()
            receipt = request.receipt()
            assert set(receipt.energy.by_component) == {"cpu"}
            assert "missing_reading" in receipt.flags
        assert rig.tracker.status().source_errors == {("devices", "ConfigError"): 1}
    (message,) = caplog.messages
    assert "GPU-9" in message
    assert "inferprint doctor" in message


def test_an_estimate_is_of_the_devices_that_it_runs_on() -> None:
    """By those that share each of them now."""
    with machine() as rig:
        with rig.tracker.request("a", devices=["GPU-1"]):
            rig.clock.advance(1.0)
            rig.tracker.sample()
        request = rig.tracker.request("b", devices=["GPU-1"])
        other = rig.tracker.request("c", devices=["GPU-2"])
        with request, other:
            other._parent = None
            rig.clock.advance(1.0)
            estimate = request.estimate()
        assert rig.gpu_j(estimate) == pytest.approx(300.0)


def test_standing_energy_is_drawn_where_a_request_runs() -> None:
    """A GPU that waits is not paid for by those that run on another."""
    clock = FakeClock()
    gpus = [FakeSource(clock, name, watts=100.0, idle_w=100.0) for name in ("GPU-1", "GPU-2")]
    config = Config(idle_policy="since_last")
    with Tracker(config, sources=gpus, exporters=[], clock=clock) as tracker:
        clock.advance(10.0)
        tracker.sample()
        with tracker.request("m", devices=["GPU-1"]) as request:
            clock.advance(1.0)
        tracker.sample()
        assert float(request.receipt().energy.standing_j or 0) == pytest.approx(1000.0)
        waits_j = {name: one.standing_j for name, one in tracker.balance().devices.items()}
        assert waits_j == pytest.approx({"GPU-1": 0.0, "GPU-2": 1100.0})


def test_calls_of_a_function_run_on_its_devices() -> None:
    """``track(devices=...)``, also beside what is expected of each call."""
    with machine() as rig:

        @rig.tracker.track(model="m", devices=[0], expects=lambda: {})
        def work() -> None:
            rig.clock.advance(1.0)

        work()
        rig.tracker.sample()
        (receipt,) = rig.kept.receipts
        assert rig.gpu_j(receipt) == pytest.approx(300.0)


def test_naming_all_devices_is_like_naming_none() -> None:
    """The books go on with one time line for all."""
    with machine() as rig:
        with rig.tracker.request("m", devices=[0, 1]) as request:
            rig.clock.advance(1.0)
        rig.tracker.sample()
        assert not rig.tracker._engine.books.parted
        assert set(request.receipt().energy.by_component) == {"gpu", "cpu"}


# ---- what is visible --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cuda", "nvidia", "visible"),
    [
        (None, None, None),
        (None, "GPU-1,GPU-2", "GPU-1,GPU-2"),
        (None, "MIG-1", "MIG-1"),
        ("0", "GPU-1", "0"),
        ("", "GPU-1", ""),
        (None, "all", None),
        (None, "void", None),
        (None, "0,1", None),
        (None, "", None),
    ],
)
def test_a_containers_own_gpus_are_those_that_it_was_given(
    cuda: str | None, nvidia: str | None, visible: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By UUID, where CUDA's own list does not say; numbers would be the host's."""
    for name, value in (("CUDA", cuda), ("NVIDIA", nvidia)):
        if value is None:
            monkeypatch.delenv(f"{name}_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv(f"{name}_VISIBLE_DEVICES", value)
    assert visible_gpus() == visible


@simulated(SimGpu(power_w=300.0, mig=2), SimGpu(power_w=500.0))
def test_a_mig_instance_is_charged_by_its_board(sim: Simulator) -> None:
    """Whose meter counts all of it, which the receipt says."""
    with Tracker(Config(sources=("nvml",))) as tracker:
        with tracker.request("m", devices=[sim.mig_uuid(0, 1)]) as request:
            time.sleep(0.3)
        receipt = request.receipt(timeout=30.0)
        assert "mig_shared" in receipt.flags
        assert "missing_reading" not in receipt.flags
        board, other = tracker.balance().devices.values()
        assert board.requests_active_j > 0 == other.requests_active_j
