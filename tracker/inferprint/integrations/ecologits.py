"""Receipts of calls to models that run elsewhere, as the library EcoLogits estimates them.

EcoLogits (Rincé, Banse: EcoLogits, Journal of Open Source Software 10(111), 7471, 2025) computes
from a model's size, its output tokens and the latency: the energy of GPUs by a regression on
published benchmarks and of the server, both with 64 requests at once; prompts and idle time are
not in it. Its figures are taken as they are, but for two columns of its electricity mixes:

- primary energy per kWh below 3.6 MJ, which is what a kWh is, leaves out a part of it;
- its world average of ADPe, which stands in for countries that it has none for, is less than a
  third of France's and a seventh of the USA's.

With these, materials and primary energy are of the hardware alone, and the receipt is flagged
``grid_unknown``.
"""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from inferprint import flags
from inferprint.errors import ConfigError, MissingExtra
from inferprint.grid import locate
from inferprint.impacts import Carbon, Factor, Materials, PrimaryEnergy, Water
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import Energy, IdlePolicyName, Tokens
from inferprint.tokens import checked_tokens
from inferprint.units import GRAMS_PER_KG, JOULES_PER_KWH, JOULES_PER_MEGAJOULE

__all__ = ["BASIS", "Call", "receipt_of"]

METHOD = "ecologits"
# A month: no call takes so long.
LONGEST_S = 31 * 86_400.0
# Yearly averages of a country's grid, as its documentation has it.
BASIS = "average, location-based"
LICENCE = "MPL-2.0"
WORLD = "WOR"
WORLD_ADPE, WORLD_WATER = "electricity-mix-adpe-world", "electricity-mix-wue-world"
SAID = {
    "model-arch-not-released": flags.MODEL_UNDISCLOSED,
    "model-arch-multimodal": flags.MODEL_MULTIMODAL,
}
MEGAJOULES_PER_KWH = JOULES_PER_KWH / JOULES_PER_MEGAJOULE


@dataclass(frozen=True, slots=True)
class Call:
    """A call to a model that runs elsewhere; arguments as for ``Tracker.hosted``.

    Raises:
        ConfigError: a count is not one; the latency is none that a call can have.
    """

    provider: str
    model: str
    tokens: Tokens
    latency_s: float
    location: str | None
    labels: Mapping[str, str]

    def __post_init__(self) -> None:
        checked_tokens(self.tokens)
        latency = self.latency_s
        number = isinstance(latency, int | float) and not isinstance(latency, bool)
        if not (number and 0.0 < latency <= LONGEST_S):
            raise ConfigError("latency_s", latency, f"seconds above 0, {LONGEST_S:.0f} at most")


class _Unknown(Exception):
    """Why there is no estimate."""


def receipt_of(
    call: Call, request_id: str, started_at: datetime, idle_policy: IdlePolicyName
) -> Receipt:
    """The receipt of a call; with figures of None, and the reason, where EcoLogits has none.

    Args:
        call: what is known of it.
        request_id: unique.
        started_at: wall time of its start.
        idle_policy: as configured; of an estimate it decides nothing.

    Raises:
        MissingExtra: EcoLogits is not installed.
    """
    library = _library()
    try:
        estimate, reason = _estimated(library, call), ""
    except _Unknown as unknown:
        estimate, reason = _Estimate(), str(unknown)
    except Exception as error:  # noqa: BLE001 - what fails in the library may not fail the call
        estimate, reason = _Estimate(), f"{library.name} failed: {type(error).__name__}: {error}"
    return Receipt(
        request_id=request_id,
        model=call.model,
        labels=call.labels,
        outcome="ok",
        started_at=started_at,
        duration_s=float(call.latency_s),
        time_to_first_token_s=None,
        tokens=call.tokens,
        energy=Energy(None, None, None, estimate.overhead_j, estimate.total_j, {}),
        idle_policy=idle_policy,
        attribution_method=METHOD,
        provenance="unknown" if reason else "modelled",
        carbon=estimate.carbon,
        water=estimate.water,
        materials=estimate.materials,
        primary_energy=estimate.primary_energy,
        flags=estimate.flags | {flags.HOSTED},
        factors=estimate.factors,
        reason=reason,
    )


class _Library(NamedTuple):
    """What is used of EcoLogits.

    Args:
        name: with its version.
        compute: ``compute_llm_impacts``.
        models: its repository of models.
        mixes: its repository of electricity mixes.
        sites: PUE, WUE and zone of each provider.
    """

    name: str
    compute: Any
    models: Any
    mixes: Any
    sites: Mapping[str, Any]


@functools.cache
def _library() -> _Library:
    # Imported here: it brings pydantic, and takes a fifth of a second.
    loggers = logging.getLoggerClass()
    try:
        from ecologits import __version__
        from ecologits.electricity_mix_repository import electricity_mixes
        from ecologits.impacts.llm import compute_llm_impacts
        from ecologits.model_repository import models
        from ecologits.tracers.utils import PROVIDER_CONFIG_MAP
    except ImportError as error:
        raise MissingExtra("Tracker.hosted", "ecologits") from error
    finally:
        logging.setLoggerClass(loggers)  # it makes all loggers of the process ones of its own
    name = f"ecologits {__version__}"
    return _Library(name, compute_llm_impacts, models, electricity_mixes, PROVIDER_CONFIG_MAP)


@dataclass(frozen=True, slots=True)
class _Estimate:
    """The part of a receipt that EcoLogits has."""

    total_j: Range | None = None
    overhead_j: Range | None = None
    carbon: Carbon | None = None
    water: Water | None = None
    materials: Materials | None = None
    primary_energy: PrimaryEnergy | None = None
    flags: frozenset[str] = frozenset()
    factors: tuple[Factor, ...] = ()


def _estimated(library: _Library, call: Call) -> _Estimate:
    model, site = _model(library, call), library.sites[call.provider]
    mix = _mix(library, call.location, site)
    if not call.tokens.output:
        raise _Unknown("it counts output tokens alone, and none were told")
    active, total = _parameters(model)
    impacts = library.compute(
        model_active_parameter_count=active,
        model_total_parameter_count=total,
        output_token_count=call.tokens.output,
        request_latency=call.latency_s,
        if_electricity_mix_adpe=mix.adpe,
        if_electricity_mix_pe=mix.pe,
        if_electricity_mix_gwp=mix.gwp,
        if_electricity_mix_wue=mix.wue,
        datacenter_pue=site.datacenter_pue,
        datacenter_wue=site.datacenter_wue,
        tps=model.deployment.tps if model.deployment else None,
        ttft=model.deployment.ttft if model.deployment else None,
    )
    at_site_j = _range(impacts.energy.value) * JOULES_PER_KWH
    total_j = _before_overhead(at_site_j, _range(site.datacenter_pue))
    adpe_known, primary_known = _known_of(mix)
    said = {SAID[warning.code] for warning in model.warnings if warning.code in SAID}
    return _Estimate(
        total_j=total_j,
        overhead_j=_less(at_site_j, total_j),
        carbon=_carbon(impacts),
        water=Water(*_ends(_range(impacts.wcf.value))),
        materials=_materials(impacts, adpe_known),
        primary_energy=_primary_energy(impacts, primary_known),
        flags=frozenset(said if adpe_known and primary_known else {*said, flags.GRID_UNKNOWN}),
        factors=tuple(_factors(library.name, call.provider, model, site, mix)),
    )


def _model(library: _Library, call: Call) -> Any:
    if call.provider not in library.sites:
        raise _Unknown(_not_known(library, "provider", call.provider, library.sites))
    found = library.models.find_model(provider=call.provider, model_name=call.model)
    if found is None:
        models = library.models.list_models()
        named = [model.name for model in models if model.provider.value == call.provider]
        raise _Unknown(_not_known(library, f"model of {call.provider!r}", call.model, named))
    return found


def _mix(library: _Library, location: str | None, site: Any) -> Any:
    zone = str(location or site.datacenter_location or WORLD).strip()
    found = library.mixes.find_electricity_mix(zone=zone.upper())
    if found is None:
        try:
            country = locate(zone).country
        except ConfigError:
            places = "a country such as 'FRA' or a cloud region such as 'aws:eu-west-3'"
            raise _Unknown(f"no table has the location {zone!r}: it is to be {places}") from None
        found = library.mixes.find_electricity_mix(zone=country)
    if found is None:
        raise _Unknown(f"{library.name} has no electricity mix of {zone!r}")
    return found


def _not_known(library: _Library, what: str, given: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(given, list(known), n=3)
    nearest = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"{library.name} has no {what} {given!r}{nearest}"


def _parameters(model: Any) -> tuple[Any, Any]:
    """Active and total parameters, in billions."""
    parameters = model.architecture.parameters
    return getattr(parameters, "active", parameters), getattr(parameters, "total", parameters)


def _known_of(mix: Any) -> tuple[bool, bool]:
    """Whether its ADPe and its primary energy are used."""
    adpe = mix.zone != WORLD and WORLD_ADPE not in _codes(mix)
    return adpe, mix.pe >= MEGAJOULES_PER_KWH


def _codes(mix: Any) -> set[str]:
    return {warning.code for warning in mix.warnings}


def _range(value: Any) -> Range:
    """Its figures are a number, or ends without a middle: the mean is taken for that."""
    low, high = getattr(value, "min", value), getattr(value, "max", value)
    return Range(float(low), (low + high) / 2, float(high))


def _before_overhead(at_site: Range, pue: Range) -> Range:
    """Energy at the devices: it multiplies the low ends with each other, and the high ones."""
    low, high = at_site.low / pue.low, at_site.high / pue.high
    return Range(low, (low + high) / 2, high)


def _less(one: Range, other: Range) -> Range:
    """The difference, end by end: of figures that rise together."""
    return Range(one.low - other.low, one.mid - other.mid, one.high - other.high)


def _ends(known: Range) -> tuple[float, float, float]:
    return known.low, known.mid, known.high


def _carbon(impacts: Any) -> Carbon:
    use = _range(impacts.usage.gwp.value) * GRAMS_PER_KG
    making = _range(impacts.embodied.gwp.value) * GRAMS_PER_KG
    return Carbon(*_ends(use + making), operational_g=use, embodied_g=making, basis=BASIS)


def _materials(impacts: Any, grid_known: bool) -> Materials:
    grid = _range(impacts.usage.adpe.value) * GRAMS_PER_KG if grid_known else None
    making = _range(impacts.embodied.adpe.value) * GRAMS_PER_KG
    total = making if grid is None else grid + making
    return Materials(*_ends(total), grid_g=grid, embodied_g=making)


def _primary_energy(impacts: Any, grid_known: bool) -> PrimaryEnergy:
    grid = _range(impacts.usage.pe.value) if grid_known else None
    making = _range(impacts.embodied.pe.value)
    total = making if grid is None else grid + making
    return PrimaryEnergy(*_ends(total), grid_megajoule=grid, embodied_megajoule=making)


def _factors(source: str, provider: str, model: Any, site: Any, mix: Any) -> Iterable[Factor]:
    active, total = _parameters(model)
    adpe_known, primary_known = _known_of(mix)
    water_zone = WORLD if WORLD_WATER in _codes(mix) else mix.zone
    grams = mix.gwp * GRAMS_PER_KG
    yield _factor("grid_carbon_intensity", grams, "gCO2e/kWh", source, mix.zone, BASIS)
    yield _factor("pue", site.datacenter_pue, "ratio", source, provider)
    yield _factor("wue_site", site.datacenter_wue, "L/kWh", source, provider)
    yield _factor("water_grid", mix.wue, "L/kWh", source, water_zone)
    if adpe_known:
        yield _factor("adpe_grid", mix.adpe, "kgSbeq/kWh", source, mix.zone)
    if primary_known:
        yield _factor("primary_energy_grid", mix.pe, "MJ/kWh", source, mix.zone)
    yield _factor("active_parameters", active, "billion", source, model.name)
    yield _factor("total_parameters", total, "billion", source, model.name)


def _factor(name: str, value: Any, unit: str, source: str, region: str, basis: str = "") -> Factor:
    known = _range(value)
    low, high = (None, None) if known.low == known.high else (known.low, known.high)
    return Factor(name, known.mid, unit, source, region, None, low, high, LICENCE, basis)
