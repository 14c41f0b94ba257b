"""The stages of the life cycle of Recommendation ITU-T L.1410 (12/2014), and what of each is in a
report: A raw material acquisition, B production, C use, D end-of-life treatment.
"""

from __future__ import annotations

from typing import Any

from inferprint_exporters.report.tally import Tally

__all__ = ["stages"]

MAKING = (
    "the embodied impacts of the hardware, spread over its lifetime in use, by the time reserved "
    "on it; the sources of these factors give the two stages as one"
)
NO_MAKING = "no embodied impacts of this hardware are known: name it with the setting hardware"
USE = "electricity of GPUs, CPU packages and memory, active, idle and standing"
OVERHEAD = "the site's overhead by its PUE"
NOT_METERED = (
    "power supplies, fans, disks, networks and the devices of those who ask have no meter here"
)
NO_OVERHEAD = "the site's overhead: its PUE is not known"
END = "no factor for taking the hardware apart, reusing or recycling it is in the tables"


def stages(tally: Tally) -> list[dict[str, Any]]:
    """Each stage with what is included of it, what is not and why, and its carbon where known."""
    embodied, operational = tally.figure("carbon_embodied_g"), tally.figure("carbon_operational_g")
    energy, overhead = tally.figure("energy_j"), tally.figure("overhead_j")
    making = [MAKING + _of(embodied.known, tally)] if embodied else []
    missing = _missing(embodied.unknown if embodied else tally.requests, NO_MAKING, tally)
    use = [USE + _of(energy.known, tally)] if energy else []
    use += [OVERHEAD + _of(overhead.known, tally)] if overhead else []
    unused = _missing(overhead.unknown if overhead else tally.requests, NO_OVERHEAD, tally)
    grams = {
        "AB": [c for c in _carbon(tally, "carbon_embodied_g") if embodied],
        "C": [c for c in _carbon(tally, "carbon_operational_g") if operational],
    }
    return [
        _stage("A", "raw material acquisition", making, missing, grams["AB"], "A and B together"),
        _stage("B", "production", making, missing, grams["AB"], "A and B together"),
        _stage("C", "use", use, [*unused, NOT_METERED], grams["C"]),
        _stage("D", "end-of-life treatment", [], [END], []),
    ]


def _stage(
    stage: str,
    name: str,
    included: list[str],
    left_out: list[str],
    grams: list[Any],
    note: str = "",
) -> dict[str, Any]:
    return {
        "stage": stage,
        "name": name,
        "included": included,
        "not_included": left_out,
        "carbon": grams,
        "note": note,
    }


def _carbon(tally: Tally, name: str) -> list[dict[str, Any]]:
    grams = {basis: part.mid(name) for basis, part in tally.by_basis.items()}
    return [{"basis": basis, "carbon_g": g} for basis, g in grams.items() if g is not None]


def _missing(count: int, why: str, tally: Tally) -> list[str]:
    return [why + _of(count, tally)] if count else []


def _of(count: int, tally: Tally) -> str:
    return "" if count == tally.requests else f" (of {count} of {tally.requests} requests)"
