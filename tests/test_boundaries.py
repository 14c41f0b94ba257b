"""What a figure takes in, by the boundaries that others draw."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inferprint import Config, ConfigError, Receipt, Tracker
from inferprint.impacts import Carbon
from inferprint.ranges import Range
from inferprint.testing import FakeClock, FakeSource
from receipts import component, receipt


def served(**settings: object) -> Receipt:
    """A request of 10 s that had a GPU (300 W, 100 W of it idle) and a CPU (80 W, 20 W idle)."""
    clock = FakeClock()
    gpu = FakeSource(clock, "gpu:0", "gpu", watts=100.0, idle_w=100.0)
    cpu = FakeSource(clock, "cpu:0", "cpu", watts=20.0, idle_w=20.0)
    config = Config(idle_policy="in_flight", **settings)  # type: ignore[arg-type]
    with Tracker(config, sources=[gpu, cpu], clock=clock) as tracker:
        with tracker.request("m") as request:
            gpu.set_power(300.0)
            cpu.set_power(80.0)
            clock.advance(10.0)
        tracker.sample()
        return request.receipt()


def mid(figure: Range | None) -> float | None:
    return None if figure is None else figure.mid


def test_the_four_parts_are_all_of_it() -> None:
    """Accelerator, host, idle machines and overhead: what a site with PUE 1.1 used."""
    parts = served(pue=1.1).four_parts()
    assert mid(parts.accelerator_j) == pytest.approx(2000.0)
    assert mid(parts.host_j) == pytest.approx(600.0)
    assert mid(parts.idle_j) == pytest.approx(1200.0)
    assert mid(parts.overhead_j) == pytest.approx(380.0)
    assert mid(parts.total_j) == pytest.approx(3800.0 * 1.1)


@pytest.mark.parametrize(
    ("boundary", "joules", "grams"),
    [("narrow", 2000.0, 2000.0), ("comprehensive", 4180.0, 4180.0), ("life_cycle", 4180.0, None)],
)
def test_each_boundary_takes_in_more(boundary: str, joules: float, grams: float | None) -> None:
    """At one gram a joule; the making of hardware that nobody named is not known."""
    within = served(pue=1.1, carbon_intensity_g_per_kwh=3.6e6).within(boundary)  # type: ignore[arg-type]
    assert mid(within.energy_j) == pytest.approx(joules)
    assert mid(within.carbon_g) == (None if grams is None else pytest.approx(grams))


def test_the_life_cycle_has_the_making_of_the_hardware() -> None:
    """A GPU of the tables for ten seconds of its life."""
    settings = {"pue": 1.1, "carbon_intensity_g_per_kwh": 3.6e6, "hardware": ("gpu=1",)}
    found = served(**settings)
    assert found.carbon is not None
    assert found.carbon.embodied_g is not None
    whole = found.within("life_cycle")
    assert mid(whole.carbon_g) == pytest.approx(4180.0 + found.carbon.embodied_g.mid)
    assert [(stage.code, stage.included) for stage in whole.stages] == [
        ("A", True), ("B", True), ("C", True), ("D", False),
    ]  # fmt: skip


@pytest.mark.parametrize("boundary", ["narrow", "comprehensive", "life_cycle"])
def test_what_is_left_out_says_why(boundary: str) -> None:
    """A stage is in the figure and says what of it, or is not and says why."""
    for stage in served().within(boundary).stages:  # type: ignore[arg-type]
        assert bool(stage.what) == stage.included
        assert stage.included or stage.why_not


def test_an_unknown_overhead_is_no_comprehensive_figure() -> None:
    """Without the PUE the narrow figure is known, and the others are not."""
    found = served(carbon_intensity_g_per_kwh=100.0)
    assert found.within("narrow").energy_j is not None
    assert found.within("comprehensive").energy_j is None
    assert found.within("comprehensive").carbon_g is None
    assert found.four_parts().total_j is None


def test_without_an_accelerator_its_part_is_unknown() -> None:
    """A machine whose CPU runs the model has no accelerator's figure, not one of 0 J."""
    found = receipt(parts={"cpu": component(1.0, 2.0, 3.0)})
    assert found.four_parts().accelerator_j is None
    assert found.within("narrow").energy_j is None


def test_carbon_of_the_making_alone_is_no_life_cycle() -> None:
    """Where nothing is known of the grid, the sum is not known either."""
    made = Range.exactly(5.0)
    found = replace(served(pue=1.1), carbon=Carbon(5.0, 5.0, 5.0, None, made))
    assert found.within("life_cycle").carbon_g is None


def test_a_boundary_that_nobody_draws_is_an_error() -> None:
    """The error lists those that there are."""
    with pytest.raises(ConfigError, match="'narrow' or 'comprehensive' or 'life_cycle'"):
        served().within("wide")  # type: ignore[arg-type]
