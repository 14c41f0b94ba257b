"""Receipts of a tracker whose grid is asked of a service that turns bad while it serves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from grid_server import Reply, electricity_maps, eventually, serving
from inferprint import Config, Receipt, Tracker
from inferprint.flags import INTENSITY_STALE
from inferprint.testing import FakeClock, FakeSource

INTENSITY = "grid_carbon_intensity"


def served(tracker: Tracker, clock: FakeClock) -> Receipt:
    """The receipt of a request of 36 s at 100 W: a thousandth of a kWh."""
    with tracker.request("m") as request:
        clock.advance(36.0)
    tracker.flush()
    return request.receipt()


def g_per_kwh(receipt: Receipt) -> float | None:
    """The intensity that its carbon was computed with."""
    if receipt.carbon is None or receipt.energy.total_j is None:
        return None
    return receipt.carbon.mid / (receipt.energy.total_j.mid / 3.6e6)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("INFERPRINT_ELECTRICITY_MAPS_TOKEN", "a-token")
    monkeypatch.setenv("INFERPRINT_INTENSITY_CACHE_PATH", str(tmp_path / "cache.json"))
    monkeypatch.setenv("INFERPRINT_INTENSITY_REFRESH_S", "300")
    monkeypatch.setenv("INFERPRINT_CARBON_INTENSITY_SOURCE", "electricity_maps:FR")
    return Config(idle_policy="in_flight")


def test_a_service_that_turns_bad_is_seen_on_the_receipts(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right at first; then it fails for hours: the last value, flagged; a day on: unknown."""
    began_s = time.time()
    clock = FakeClock()
    with serving(lambda asked: electricity_maps(56, began_s)) as server:
        monkeypatch.setenv("INFERPRINT_ELECTRICITY_MAPS_URL", server.url)
        found = Config(idle_policy="in_flight")
        source = FakeSource(clock, watts=100.0)
        with Tracker(found, sources=[source], clock=clock) as tracker:
            eventually(lambda: tracker.factors.carbon_intensity is not None)
            right = served(tracker, clock)
            server.answer = lambda asked: Reply(b"oops", 500)
            clock.advance(3 * 3600.0)
            tracker.sample()
            stale = served(tracker, clock)
            clock.advance(26 * 3600.0)
            tracker.sample()
            unknown = served(tracker, clock)
    assert g_per_kwh(right) == pytest.approx(56.0)
    assert INTENSITY_STALE not in right.flags
    factor = next(one for one in right.factors if one.name == INTENSITY)
    assert "Electricity Maps" in factor.source
    assert "average, location-based" in factor.basis
    assert right.carbon is not None
    assert right.carbon.basis == factor.basis
    assert g_per_kwh(stale) == pytest.approx(56.0)
    assert INTENSITY_STALE in stale.flags
    assert unknown.carbon is None
    assert INTENSITY_STALE in unknown.flags


def test_a_request_never_waits_for_a_slow_service(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service takes seconds to answer; starts, ends and receipts take none of them."""
    with serving(lambda asked: Reply(b"", wait_s=3.0)) as server:
        monkeypatch.setenv("INFERPRINT_ELECTRICITY_MAPS_URL", server.url)
        clock = FakeClock()
        tracker = Tracker(
            Config(idle_policy="in_flight"), sources=[FakeSource(clock, watts=100.0)], clock=clock
        )
        began = time.monotonic()
        tracker.start()
        receipt = served(tracker, clock)
        assert time.monotonic() - began < 1.0
        tracker.stop()
    assert receipt.carbon is None
