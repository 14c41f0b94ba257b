"""The Software Carbon Intensity score: (E I + M) for each R.

E is the energy used, with the site's overhead where that is known, I the grid's carbon intensity,
M the embodied emissions of the hardware for the time reserved on it, R a unit of what was served.
Source: Software Carbon Intensity specification, ISO/IEC 21031:2024; the units of R for models are
those of the Green Software Foundation's SCI for AI: a token, a request, a workflow.
"""

from __future__ import annotations

from typing import Any

from inferprint.ranges import Range
from inferprint.units import JOULES_PER_KWH
from inferprint_exporters.report.tally import Tally, ratio

__all__ = ["sci"]


def sci(tally: Tally) -> dict[str, Any]:
    """The scores of a group of requests, one for each basis of carbon.

    Those of which the carbon is not known are in neither part of the fraction.
    """
    return {
        "unit": "gCO2e per R",
        "scores": [_score(basis, part) for basis, part in tally.by_basis.items()],
        "unknown_requests": tally.requests - sum(t.requests for t in tally.by_basis.values()),
    }


def _score(basis: str, tally: Tally) -> dict[str, Any]:
    carbon = tally.figure("carbon_g")
    assert carbon is not None  # it has a basis
    told = Range(
        *map(tally.sum, ("carbon_of_told_g_low", "carbon_of_told_g", "carbon_of_told_g_high"))
    )
    per = {
        "token": ratio(told, tally.sum("tokens_with_carbon")),
        "output_token": ratio(told, tally.sum("outputs_with_carbon")),
        "request": ratio(carbon.range, carbon.known),
        "workflow": ratio(carbon.range, tally.sum("workflows")),
    }
    used_kwh = _used_kwh(tally)
    operational = tally.mid("carbon_operational_g")
    return {
        "basis": basis,
        "requests": tally.requests,
        "E_kwh": used_kwh,
        "I_g_per_kwh": operational / used_kwh if operational is not None and used_kwh else None,
        "M_g": tally.mid("carbon_embodied_g"),
        "per": {
            name: score and {"low": score.low, "mid": score.mid, "high": score.high}
            for name, score in per.items()
        },
        "without": _without(tally),
    }


def _used_kwh(tally: Tally) -> float | None:
    energy = tally.mid("energy_j")
    return None if energy is None else (energy + (tally.mid("overhead_j") or 0.0)) / JOULES_PER_KWH


def _without(tally: Tally) -> list[str]:
    """What the score leaves out."""
    names = {
        "carbon_operational_g": "E I: the grid's intensity is not known",
        "carbon_embodied_g": "M: the hardware's embodied emissions are not known",
        "overhead_j": "the site's overhead: its PUE is not known",
    }
    said = []
    for name, what in names.items():
        figure = tally.figure(name)
        count = tally.requests if figure is None else figure.unknown
        if count:
            said.append(f"{what} (of {count} of {tally.requests} requests)")
    return said
