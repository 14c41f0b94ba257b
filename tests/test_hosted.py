"""Receipts of calls to models that run elsewhere: EcoLogits' figures in our shape."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import ConfigError, Receipt, TokenError, flags
from inferprint.clock import wall_s
from inferprint.ranges import Range
from inferprint.testing import FakeClock
from inferprint.units import JOULES_PER_KWH, NS_PER_S
from inferprint_exporters.prometheus import PrometheusExporter
from rig import Rig, by_hand, live
from support import require_module, run_python

tracers = require_module("ecologits.tracers.utils", "pip install 'inferprint[ecologits]'")
dag = require_module("ecologits.impacts.llm", "pip install 'inferprint[ecologits]'")

UNDISCLOSED = ("openai", "gpt-4o")
OPEN = ("mistralai", "mistral-large-latest")
SETTINGS: dict[str, Any] = {"idle_policy": "since_last", "location": "DEU", "pue": 1.5}

BLOCKED = """
import sys
sys.modules["ecologits"] = None
import inferprint
try:
    inferprint.Tracker(sources=[]).hosted(
        provider="openai", model="gpt-4o", output_tokens=1, latency_s=1.0
    )
except inferprint.MissingExtra as error:
    print(error)
"""
LOGGERS = """
import inferprint, logging
inferprint.Tracker(sources=[]).hosted(
    provider="openai", model="gpt-4o", output_tokens=1, latency_s=1.0
)
print(logging.getLoggerClass().__module__)
"""


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A tracker driven by hand, whose own place and PUE are not those of the models."""
    with by_hand(**SETTINGS) as rig:
        yield rig


def ask(
    rig: Rig, provider: str = "openai", model: str = "gpt-4o", tokens: int | None = 400, **more: Any
) -> Receipt:
    """A receipt of a call that took ten seconds."""
    call = {"latency_s": 10.0, **more}
    return rig.tracker.hosted(provider=provider, model=model, output_tokens=tokens, **call)


def ends(value: Any) -> tuple[float, float]:
    """The ends of a figure of EcoLogits."""
    return getattr(value, "min", value), getattr(value, "max", value)


def theirs(provider: str, model: str, tokens: int = 400, zone: str | None = None) -> Any:
    """What EcoLogits' own front door says of the same call."""
    return tracers.llm_impacts(provider, model, tokens, 10.0, electricity_mix_zone=zone)


def agree(ours: Range | None, impact: Any, scale: float) -> None:
    """Our range is theirs, in our unit, and its middle lies between the ends."""
    assert ours is not None
    low, high = ends(impact.value)
    assert (ours.low, ours.high) == pytest.approx((low * scale, high * scale))
    assert ours.mid == pytest.approx((ours.low + ours.high) / 2)


@pytest.mark.parametrize(("provider", "model"), [UNDISCLOSED, OPEN])
@pytest.mark.parametrize("zone", [None, "FRA"])
def test_its_figures_are_those_of_the_library(
    rig: Rig, provider: str, model: str, zone: str | None
) -> None:
    """Energy with the overhead, carbon, materials, primary energy and water, part by part."""
    made, expected = ask(rig, provider, model, location=zone), theirs(provider, model, zone=zone)
    assert made.energy.total_j is not None
    assert made.energy.overhead_j is not None
    agree(made.energy.total_j + made.energy.overhead_j, expected.energy, JOULES_PER_KWH)
    assert made.carbon is not None
    agree(made.carbon, expected.gwp, 1e3)
    agree(made.carbon.operational_g, expected.usage.gwp, 1e3)
    agree(made.carbon.embodied_g, expected.embodied.gwp, 1e3)
    assert made.materials is not None
    agree(made.materials, expected.adpe, 1e3)
    agree(made.materials.grid_g, expected.usage.adpe, 1e3)
    assert made.primary_energy is not None
    agree(made.primary_energy, expected.pe, 1.0)
    agree(made.primary_energy.embodied_megajoule, expected.embodied.pe, 1.0)
    agree(made.water, expected.wcf, 1.0)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_the_overhead_is_apart(rig: Rig, provider: str) -> None:
    """Energy at the devices is what the library has before it multiplies by the PUE, also where
    the PUE has a range.
    """
    library = require_module("ecologits.model_repository", "pip install 'inferprint[ecologits]'")
    model = next(
        one
        for one in library.models.list_models()
        if one.provider.value == provider and hasattr(one.architecture.parameters, "active")
    )
    made = ask(rig, provider, model.name)
    assert made.energy.total_j is not None
    parameters = model.architecture.parameters
    found = [
        dag.compute_llm_impacts_dag(
            active,
            total,
            400,
            10.0,
            1e-8,
            9.0,
            0.4,
            3.0,
            1.0,
            0.5,
            tps=model.deployment and model.deployment.tps,
            ttft=model.deployment and model.deployment.ttft,
        )["request_it_energy"]
        * JOULES_PER_KWH
        for active, total in zip(ends(parameters.active), ends(parameters.total), strict=True)
    ]
    assert (made.energy.total_j.low, made.energy.total_j.high) == pytest.approx(tuple(found))


def test_it_has_the_shape_of_any_receipt(rig: Rig) -> None:
    """What EcoLogits does not tell is None; where it comes from is said."""
    made = ask(rig, input_tokens=20, labels={"route": "/chat"})
    assert made.provenance == "modelled"
    assert made.attribution_method == "ecologits"
    assert made.idle_policy == "since_last"
    assert made.flags == {flags.HOSTED, flags.MODEL_UNDISCLOSED, flags.MODEL_MULTIMODAL}
    assert made.labels == {"route": "/chat"}
    assert (made.tokens.input, made.tokens.output, made.duration_s) == (20, 400, 10.0)
    assert made.energy.active_j is made.energy.idle_j is made.energy.standing_j is None
    assert made.energy.by_component == {}
    assert made.started_at.timestamp() == pytest.approx(wall_s(rig.clock, -10 * NS_PER_S))
    assert made.cost is made.work is made.quote is made.reserved_s is made.time_to_first_token_s
    assert made.cost is None
    assert made.water is not None
    assert made.water.site_l is made.water.grid_l is None
    assert made.reason == ""
    assert json.loads(made.to_json())["flags"] == sorted(made.flags)


def test_its_factors_name_the_library_and_the_mix(rig: Rig) -> None:
    """Version, zone, PUE and size; nothing of this machine's place and site."""
    factors = {factor.name: factor for factor in ask(rig, location="FR").factors}
    assert {factor.source for factor in factors.values()} == {"ecologits " + _version()}
    assert factors["grid_carbon_intensity"].region == "FRA"
    assert factors["grid_carbon_intensity"].value < 100.0
    assert factors["pue"].value == tracers.PROVIDER_CONFIG_MAP["openai"].datacenter_pue
    size = factors["active_parameters"]
    assert size.low is not None
    assert size.high is not None
    assert size.low < size.value < size.high


def _version() -> str:
    return str(require_module("ecologits", "pip install 'inferprint[ecologits]'").__version__)


@pytest.mark.parametrize(
    ("location", "zone"), [("FRA", "FRA"), ("fr", "FRA"), ("aws:eu-west-3", "FRA"), (None, "USA")]
)
def test_a_place_is_a_country_or_a_cloud_region(rig: Rig, location: str | None, zone: str) -> None:
    """As in the settings; without one it is where the library takes the provider to be."""
    assert ask(rig, location=location).factors[0].region == zone


@pytest.mark.parametrize(("zone", "materials"), [("NOR", True), ("ABW", False), ("WOR", False)])
def test_mixes_that_can_not_be_are_left_out(rig: Rig, zone: str, materials: bool) -> None:
    """Less than 3.6 MJ of primary energy for a kWh, and the world's average of ADPe."""
    made = ask(rig, location=zone)
    assert flags.GRID_UNKNOWN in made.flags
    assert made.primary_energy is not None
    assert made.primary_energy.grid_megajoule is None
    agree(made.primary_energy, theirs(*UNDISCLOSED, zone=zone).embodied.pe, 1.0)
    assert made.materials is not None
    assert (made.materials.grid_g is not None) == materials
    assert made.carbon is not None
    assert made.carbon.operational_g is not None
    assert all(factor.name != "primary_energy_grid" for factor in made.factors)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"provider": "opnai"}, "no provider 'opnai'; did you mean 'openai'?"),
        ({"model": "gpt-4oo"}, "no model of 'openai' 'gpt-4oo'; did you mean 'gpt-4o'"),
        ({"model": ""}, "no model of 'openai' ''"),
        ({"location": "Atlantis"}, "no table has the location 'Atlantis'"),
        ({"tokens": None}, "none were told"),
        ({"tokens": 0}, "none were told"),
    ],
)
def test_what_is_not_known_never_raises(rig: Rig, call: dict[str, Any], reason: str) -> None:
    """A receipt without figures says why, and what is near; it is no receipt of 0 J."""
    made = ask(rig, **call)
    assert reason in made.reason
    assert reason in str(made)
    assert made.provenance == "unknown"
    assert made.flags == {flags.HOSTED}
    assert made.energy.total_j is made.energy.overhead_j is made.carbon is made.water is None
    assert made.materials is made.primary_energy is None
    assert made.factors == ()


@pytest.mark.parametrize("latency_s", [0.0, -1.0, 1e9, math.nan, math.inf, None, "1", True])
def test_a_latency_that_is_none_is_refused(rig: Rig, latency_s: Any) -> None:
    """It is the caller's own measurement: the error names it."""
    with pytest.raises(ConfigError, match="latency_s"):
        ask(rig, latency_s=latency_s)


@pytest.mark.parametrize("counts", [{"tokens": -1}, {"tokens": 1.5}, {"input_tokens": "many"}])
def test_counts_that_are_none_are_refused(rig: Rig, counts: dict[str, Any]) -> None:
    """As everywhere that tokens are told."""
    with pytest.raises(TokenError):
        ask(rig, **counts)


@given(st.integers(1, 100_000), st.floats(1e-3, 1e4), st.sampled_from([UNDISCLOSED, OPEN]))
def test_every_range_is_in_order(tokens: int, latency_s: float, named: tuple[str, str]) -> None:
    """In order: low <= mid <= high in every figure and part, whatever the call."""
    with by_hand(clock=FakeClock()) as rig:
        made = ask(rig, *named, tokens, latency_s=latency_s)
    found = [made.energy.total_j, made.energy.overhead_j, made.carbon, made.water]
    found += [made.materials, made.primary_energy]
    for figure in found:
        assert figure is not None
        assert 0.0 <= figure.low <= figure.mid * (1 + 1e-12)
        assert figure.mid <= figure.high * (1 + 1e-12)


def test_it_goes_to_the_exporters(rig: Rig) -> None:
    """In the order of the calls, beside what was measured, and into no book."""
    first = ask(rig)
    with rig.tracker.request("here"):
        rig.clock.advance(1.0)
    second = ask(rig, model="unheard-of")
    got = rig.receipts()
    assert [one.model for one in got if flags.HOSTED not in one.flags] == ["here"]
    assert [one for one in got if flags.HOSTED in one.flags] == [first, second]
    (device,) = rig.tracker.balance().devices.values()
    assert device.measured_j == pytest.approx(100.0)
    assert rig.tracker.status().in_flight == {}


def test_prometheus_keeps_it_apart() -> None:
    """Through the tracker to a scrape: its one family, and the measured ones untouched."""
    exporter = PrometheusExporter()
    with by_hand(exporters=[exporter]) as rig:
        made = ask(rig)
        rig.receipts()
        named = {sample.name for metric in exporter.collect() for sample in metric.samples}
        got = exporter.registry.get_sample_value(
            "inferprint_hosted_energy_joules_total", {"model": "gpt-4o"}
        )
    assert made.energy.total_j is not None
    assert got == made.energy.total_j.mid
    assert "inferprint_energy_joules_total" not in named
    assert "inferprint_tokens_total" not in named


class Stuck:
    """An exporter that takes its receipts only when it is let."""

    name = "stuck"

    def __init__(self) -> None:
        self.let = threading.Event()
        self.receipts: list[Receipt] = []

    def start(self, tracker: Any) -> None:
        """Nothing."""

    def export(self, receipts: Sequence[Receipt]) -> None:
        """Waits."""
        self.let.wait(30.0)
        self.receipts += receipts

    def close(self) -> None:
        """Nothing."""


def test_it_waits_for_no_exporter() -> None:
    """While an exporter hangs, calls get their receipts; later it has them all, in order."""
    stuck = Stuck()
    with live(exporters=[stuck]) as tracker:
        call: dict[str, Any] = {"provider": "openai", "output_tokens": 9, "latency_s": 1.0}
        made = [tracker.hosted(model="gpt-4o", **call) for _ in range(5)]
        assert not tracker.flush(timeout=0.3)
        assert stuck.receipts == []
        stuck.let.set()
        assert tracker.flush(timeout=10.0)
        assert stuck.receipts == made


def test_a_stop_loses_none() -> None:
    """What was made just before the stop is handed over too."""
    stuck = Stuck()
    stuck.let.set()
    with live(exporters=[stuck], sample_interval_s=5.0) as tracker:
        made = tracker.hosted(provider="openai", model="gpt-4o", output_tokens=9, latency_s=1.0)
    assert stuck.receipts == [made]
    after = tracker.hosted(provider="openai", model="gpt-4o", output_tokens=9, latency_s=1.0)
    assert after.energy.total_j == made.energy.total_j


def test_without_the_package_the_error_says_what_to_install() -> None:
    """MissingExtra, with pip's command."""
    result = run_python("-c", BLOCKED)
    assert result.returncode == 0, result.stderr
    assert "pip install 'inferprint[ecologits]'" in result.stdout


def test_loggers_stay_what_they_were(caplog: pytest.LogCaptureFixture) -> None:
    """The library's import makes its own class that of all loggers: ours takes that back, and
    what it would log of every model is on the receipt instead.
    """
    result = run_python("-c", LOGGERS)
    assert result.stdout == "logging\n"
    assert result.stderr == ""
    with caplog.at_level(logging.DEBUG), by_hand() as rig:
        ask(rig)
    assert [record.name for record in caplog.records if record.name == "ecologits"] == []
