"""The DRAM model: a constant for every GB, all of it idle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.sources import PowerSource
from inferprint.sources.dram_model import DramModelSource
from inferprint.testing import FakeClock

GB = 1024**3


def test_power_is_the_published_constant() -> None:
    """64 GB at 0.284 W/GB draw 18.176 W, which is all idle power, to ± 25 %."""
    clock = FakeClock(start_s=50.0)
    source = DramModelSource(64 * GB, clock.now_ns)
    clock.advance(10.0)
    (reading,), (device,) = source.read(), source.devices()
    assert isinstance(source, PowerSource)
    assert reading.energy_j == pytest.approx(181.76)
    assert (reading.provenance, reading.at_ns) == ("modelled", clock.now_ns())
    assert device.idle_w == pytest.approx(18.176)
    assert device.relative_error == 0.25


def test_its_range_holds_the_other_published_constant() -> None:
    """BLOOM's log has 0.355 W/GB: the upper end of the range."""
    (device,) = DramModelSource(GB, FakeClock().now_ns).devices()
    assert device.idle_w is not None
    assert device.idle_w * (1 + device.relative_error) == pytest.approx(0.355)


def test_no_work_is_told_of() -> None:
    """The constant does not depend on load, so nobody's busy time is claimed."""
    (reading,) = DramModelSource(GB, FakeClock().now_ns).read()
    assert reading.busy_s is None
    assert reading.own_s is None


def test_the_finding_names_the_constant() -> None:
    """A person sees the watts, the W/GB, its publisher and the error."""
    (finding,) = DramModelSource(64 * GB, FakeClock().now_ns).findings()
    assert finding.status == "modelled"
    for part in ("0.284 W/GB", "Boavizta", "18.2 W", "± 25%"):
        assert part in finding.why


@given(st.lists(st.floats(0.0, 1e6), max_size=20))
def test_energy_is_power_by_time_however_often_it_is_read(spans: list[float]) -> None:
    """Many reads add up to one: nothing is lost between them."""
    clock = FakeClock()
    source = DramModelSource(100 * GB, clock.now_ns)
    for seconds in spans:
        clock.advance(seconds)
        source.read()
    (reading,) = source.read()
    assert reading.energy_j == pytest.approx(28.4 * clock.now_ns() / 1e9)
