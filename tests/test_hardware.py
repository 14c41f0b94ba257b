"""What hardware costs for each second that is reserved on it, and how time is reserved."""

from __future__ import annotations

import contextvars

import pytest

from inferprint import Config, ConfigError, Device, Range, Tracker
from inferprint.factor_tables import Tables, shipped
from inferprint.factors import Factors, equipped, resolve
from inferprint.hardware import gpu_product, parse_hardware, pieces_of, spread
from inferprint.impacts import Factor
from inferprint.testing import FakeClock, FakeSource

HOUR_S = 3600.0


def factor(name: str, value: float, region: str = "") -> Factor:
    return Factor(name, value, "", "test", region)


TABLES = Tables(
    [
        factor("embodied_carbon", 150.0, "gpu:A100"),
        factor("embodied_carbon", 2500.0, "server"),
        factor("lifetime", 6.0),
        factor("utilisation", 0.85),
    ]
)


def test_the_embodied_carbon_of_training_bloom() -> None:
    """1,082,990 GPU-hours of servers with eight GPUs each: 3.64 t of GPUs and 7.58 t of servers
    (Luccioni et al., 2022, arXiv 2211.02001, section 4.1).
    """
    gpu_s = 1_082_990 * HOUR_S

    def tonnes(pieces: dict[str, float]) -> float:
        return float(spread(pieces, TABLES, None, None, None).carbon_g_per_s or 0) * gpu_s / 1e6

    assert tonnes({"gpu:A100": 1.0}) == pytest.approx(3.64, rel=0.005)
    assert tonnes({"server": 1 / 8}) == pytest.approx(7.58, rel=0.005)
    assert tonnes({"gpu:A100": 1.0, "server": 1 / 8}) == pytest.approx(11.2, rel=0.005)


def test_what_is_not_known_of_one_piece_is_not_known_of_the_machine() -> None:
    """No table has the antimony of these: None, not 0."""
    hardware = spread({"gpu:A100": 8.0, "server": 1.0}, TABLES, None, None, None)
    assert hardware.carbon_g_per_s is not None
    assert hardware.adpe_g_per_s is None
    assert spread({"gpu:A100": 8.0, "fridge": 1.0}, TABLES, None, None, None).carbon_g_per_s is None


def test_a_setting_wins_over_the_tables() -> None:
    """Half the lifetime and half the use: four times the carbon of a second."""
    usual = spread({"server": 1.0}, TABLES, None, None, None).carbon_g_per_s
    years, used = factor("lifetime", 3.0), factor("utilisation", 0.425)
    often = spread({"server": 1.0}, TABLES, years, used, None)
    assert often.carbon_g_per_s is not None
    assert usual is not None
    assert often.carbon_g_per_s.mid == pytest.approx(4 * usual.mid)
    assert {one.name for one in often.factors} == {"embodied_carbon", "lifetime", "utilisation"}


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("NVIDIA H100 80GB HBM3", "gpu:H100"),
        ("NVIDIA A100-SXM4-80GB", "gpu:A100"),
        ("NVIDIA GeForce GTX 1080", None),
        ("fake", None),
    ],
)
def test_a_gpu_is_known_by_its_drivers_name(name: str, product: str | None) -> None:
    """The product is a word of the name; a GPU that no table has is not taken for another."""
    assert gpu_product(name, shipped()) == product


def test_each_gpu_brings_its_part_of_a_server() -> None:
    """Four GPUs: half of an eight-GPU server. A CPU brings nothing by itself."""
    gpus = [Device(f"gpu:{n}", "gpu", "NVIDIA H100 80GB HBM3") for n in range(4)]
    cpu = Device("cpu:0", "cpu", "AMD EPYC")
    assert pieces_of([*gpus, cpu], shipped()) == {"gpu:H100": 4.0, "server": 0.5}
    assert pieces_of([cpu], shipped()) == {}


@pytest.mark.parametrize("piece", ["gpu:H100", "gpu:H100=", "=8", "gpu:H100=-8", "server=0", "a=b"])
def test_a_piece_that_is_none_is_refused(piece: str) -> None:
    """The error shows what one looks like."""
    with pytest.raises(ConfigError, match="'gpu:H100=8'"):
        parse_hardware([piece])


def test_found_hardware_counts_where_the_grid_is_known() -> None:
    """Without a location no carbon figure is made of the hardware alone, unless it is named."""
    h100 = Device("gpu:0", "gpu", "NVIDIA H100 80GB HBM3")
    nowhere, france, named = Config(), Config(location="FRA"), Config(hardware=("gpu:H100=1",))
    assert equipped(resolve(nowhere), [h100], nowhere).hardware.carbon_g_per_s is None
    assert equipped(resolve(france), [h100], france).hardware.carbon_g_per_s is not None
    assert equipped(Factors(), [], named).hardware.carbon_g_per_s is not None


def reserved(*seconds: tuple[float, float]) -> list[float | None]:
    """The seconds that requests from ... to ... reserve on a machine."""
    clock = FakeClock()
    source = FakeSource(clock, watts=100.0, idle_w=50.0)
    with Tracker(sources=[source], clock=clock) as tracker:
        requests = [tracker.request("m") for _ in seconds]
        # Each in a context of its own: else the later ones are children of the first.
        contexts = [contextvars.Context() for _ in seconds]
        instants = sorted({0.0, *(t for span in seconds for t in span)})
        for before, at in zip([0.0, *instants], instants, strict=False):
            clock.advance(at - before)
            for context, request, (start, end) in zip(contexts, requests, seconds, strict=True):
                if at == start:
                    context.run(request.__enter__)
                if at == end:
                    context.run(request.__exit__, None, None, None)
        tracker.flush()
        return [request.receipt().reserved_s for request in requests]


def test_requests_share_the_time_of_the_machine() -> None:
    """Two that overlap by a second of their two share it; the seconds add up to three."""
    assert reserved((0, 2), (1, 3)) == [pytest.approx(1.5), pytest.approx(1.5)]
    assert reserved((0, 5)) == [pytest.approx(5.0)]
    assert reserved((0, 1), (2, 4)) == [pytest.approx(1.0), pytest.approx(2.0)]


def test_a_child_reserves_the_time_that_its_parent_waits() -> None:
    """The two together reserve no more than the parent lasted."""
    clock = FakeClock()
    source = FakeSource(clock, watts=100.0)
    with Tracker(sources=[source], clock=clock) as tracker:
        with tracker.request("parent") as parent:
            clock.advance(1.0)
            with tracker.request("child"):
                clock.advance(2.0)
            clock.advance(1.0)
        tracker.flush()
        receipt = parent.receipt()
    assert receipt.reserved_s == pytest.approx(2.0)
    assert receipt.children[0].reserved_s == pytest.approx(2.0)
    assert receipt.with_children().reserved_s == pytest.approx(4.0)


def test_a_rent_has_the_electricity_in_it() -> None:
    """Two GPUs of a price list; no electricity is added, and a GPU of no list has no price."""
    config = Config(location="USA", hardware_price_per_hour="rent")
    gpus = [Device(f"gpu:{n}", "gpu", "NVIDIA H100 80GB HBM3") for n in range(2)]
    listed = shipped().find("hardware_price", "gpu:H100")
    factors = equipped(resolve(config), gpus, config)
    assert listed is not None
    assert factors.hardware.price_per_s is not None
    assert factors.hardware.price_per_s.mid == pytest.approx(2 * listed.value / 3600)
    assert (factors.electricity_price, factors.currency) == (None, "USD")
    assert [one.region for one in factors.as_tuple() if one.name == "hardware_price"] == [
        "gpu:H100=2"
    ]
    unlisted = [Device("gpu:0", "gpu", "NVIDIA L4")]
    assert equipped(resolve(config), unlisted, config).hardware.price_per_s is None


def test_of_a_gpu_without_its_own_the_rest_is_that_of_any() -> None:
    """The antimony of an H200 is that of the tables' GPU, and its carbon its own."""
    hardware = spread({"gpu:H200": 1.0}, shipped(), None, None, None)
    by_name = {one.name: one.region for one in hardware.factors}
    assert (by_name["embodied_carbon"], by_name["embodied_adpe"]) == ("gpu:H200", "gpu")


def test_hardware_is_charged_by_the_time_reserved() -> None:
    """Half an hour of a machine at 8 EUR an hour; the electricity is not known, and flagged."""
    clock = FakeClock()
    config = Config(hardware_price_per_hour=8.0, currency="EUR", hardware=("gpu=1",))
    source = FakeSource(clock, watts=100.0, idle_w=100.0)
    with Tracker(config, sources=[source], clock=clock) as tracker:
        with tracker.request("m") as request:
            clock.advance(1800.0)
            tracker.sample()
            estimate = request.estimate()
        tracker.flush()
        receipt = request.receipt()
    for found in (receipt, estimate):
        assert found.cost is not None
        assert found.cost.hardware == Range.exactly(found.cost.hardware.mid)  # type: ignore[union-attr]
        assert (found.cost.mid, found.cost.currency) == (pytest.approx(4.0), "EUR")
        assert found.cost.electricity is None
        assert "grid_unknown" in found.flags
