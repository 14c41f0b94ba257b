"""Corrections of devices' gains."""

from __future__ import annotations

import pytest

from inferprint import Config, ConfigError, Tracker
from inferprint.testing import FakeClock, FakeSource


def total(calibration: tuple[str, ...]) -> tuple[float, float, float]:
    """A request's energy, with its interval: 100 J by a device that may be 10 % off."""
    clock = FakeClock()
    source = FakeSource(clock, "gpu:0", watts=100.0, idle_w=0.0, relative_error=0.1)
    with Tracker(Config(calibration=calibration), sources=[source], clock=clock) as tracker:
        tracker.sample()
        with tracker.request("m") as request:
            clock.advance(1.0)
        tracker.sample()
        energy = request.receipt().energy.total_j
    assert energy is not None
    return energy.low, energy.mid, energy.high


def test_a_factor_corrects_what_the_device_counts() -> None:
    """Energy is the counter's times the factor, and its error is still the device's."""
    assert total(()) == pytest.approx((91.0, 100.0, 109.0))
    assert total(("gpu:0=1.05",)) == pytest.approx((105 * 0.91, 105.0, 105 * 1.09))


def test_its_error_takes_the_place_of_the_devices() -> None:
    """A board that was measured is known as well as it was measured."""
    assert total(("gpu:0=1.05:0.01",)) == pytest.approx((105 * 0.991, 105.0, 105 * 1.009))


def test_other_devices_are_left_alone() -> None:
    """A correction is of one device."""
    clock = FakeClock()
    sources = [FakeSource(clock, f"gpu:{i}", watts=100.0, idle_w=0.0) for i in range(2)]
    config = Config(calibration=("gpu:1=1.1",))
    with Tracker(config, sources=sources, clock=clock) as tracker:
        tracker.sample()
        clock.advance(1.0)
        tracker.sample()
        devices = tracker.balance().devices
    assert devices["gpu:0"].measured_j == pytest.approx(100.0)
    assert devices["gpu:1"].measured_j == pytest.approx(110.0)


@pytest.mark.parametrize(
    "texts", [("gpu:0",), ("gpu:0=x",), ("=1",), ("gpu:0=3",), ("a=1:0.9",), ("a=1", "a=1")]
)
def test_one_that_cannot_be_read_is_refused(texts: tuple[str, ...]) -> None:
    """In the constructor, with what would be right."""
    with pytest.raises(ConfigError, match="DEVICE=FACTOR"):
        Config(calibration=texts)


def test_a_device_that_is_not_there_is_an_error_at_the_start() -> None:
    """It names the devices that are."""
    clock = FakeClock()
    tracker = Tracker(
        Config(calibration=("gpu:7=1.1",)), sources=[FakeSource(clock, "gpu:0")], clock=clock
    )
    with pytest.raises(ConfigError, match="gpu:0"):
        tracker.start()
    tracker.stop()
