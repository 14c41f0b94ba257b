"""The sections of a report that say more than sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferprint_exporters.report.figures import UNKNOWN, carbon, joules, number, percent, watts
from inferprint_exporters.report.section import NO_BASIS, Section

__all__ = [
    "compare",
    "concurrency",
    "factors",
    "quality",
    "resident",
    "sci",
    "sensitivity",
    "stages",
]

Report = Mapping[str, Any]
COMPARED = {
    "carbon_g_per_request": "gCO2e a request",
    "cost_per_request": "money a request",
    "energy_j_per_request": "J a request",
    "active_j_per_request": "active J a request",
    "duration_s_per_request": "s a request",
    "water_l_per_request": "L of water a request",
    "energy_j_per_output_token": "J an output token",
}


def resident(found: Report) -> Section:
    """What idle energy costs, and whether unloading would save."""
    notes = [
        f"{percent(found['share'])} of the energy that can be told apart is idle energy: "
        "drawn because the hardware is on and a model loaded, work or no work."
    ]
    rows = []
    for name, model in found["models"].items():
        needed, saves = model["break_even_requests_per_hour"], model["unloading_would_save"]
        load = model["load_energy_j"]
        rows.append(
            [
                *(name, percent(model["share"]), joules(model["j_per_request"])),
                *(watts(model["idle_power_w"]), number(model["requests_per_hour"])),
                *(joules(load and load["mid"]), number(needed)),
                UNKNOWN if saves is None else "yes" if saves else "no",
                "; ".join(model["notes"]),
            ]
        )
    columns = (
        *("", "idle share", "idle energy a request", "idle power", "requests an hour"),
        *("energy of a load", "unloading saves below", "saves now", "notes"),
    )
    return Section("What keeping a model loaded costs", notes, columns, rows)


def concurrency(found: list[Report]) -> Section:
    """Joules for an output token."""
    rows = [
        [
            *(str(one["at_most"]), number(one["requests"]), number(one["output_tokens"])),
            *(joules(one["j_per_output_token"]), joules(one["active_j_per_output_token"])),
        ]
        for one in found
    ]
    columns = ("at a time, at most", "requests", "output tokens", "for each of them", "active")
    return Section("Energy of an output token by concurrency", [], columns if rows else (), rows)


def sci(found: Report) -> Section:
    """The scores."""
    notes = [
        "Software Carbon Intensity, (E I + M) for each R, in CO2e (ISO/IEC 21031:2024; R as in "
        "the Green Software Foundation's SCI for AI)."
    ]
    if found["unknown_requests"]:
        notes.append(f"Without {number(found['unknown_requests'])} requests of unknown carbon.")
    rows = []
    for score in found["scores"]:
        notes += [f"Left out: {what}." for what in score["without"]]
        for unit, per in score["per"].items():
            rows.append(
                [
                    unit.replace("_", " "),
                    carbon(per and per["mid"], per),
                    score["basis"] or NO_BASIS,
                ]
            )
    return Section("SCI", notes, ("R", "score", "basis") if rows else (), rows)


def stages(found: list[Report]) -> Section:
    """The life cycle."""
    rows = []
    for stage in found:
        emitted = " + ".join(carbon(c["carbon_g"]) for c in stage["carbon"])
        note = f" ({stage['note']})" if emitted and stage["note"] else ""
        included = "; ".join(stage["included"]) or "nothing"
        rows.append(
            [
                stage["stage"],
                stage["name"],
                included,
                "; ".join(stage["not_included"]),
                emitted + note,
            ]
        )
    columns = ("stage", "", "included", "not included, and why", "carbon")
    return Section("Stages of the life cycle (ITU-T L.1410)", [], columns, rows)


def compare(found: Report) -> Section:
    """Two groups."""
    first, second = found["sides"]
    rows = [["requests", number(first["requests"]), number(second["requests"]), ""]]
    for name, over in found["second_over_first"].items():
        times = UNKNOWN if over is None else number(over["mid"])
        if over is not None and over["low"] < over["high"]:
            times += f" ({number(over['low'])} to {number(over['high'])})"
        sides = [
            number(side["each"][name] and side["each"][name]["mid"]) for side in (first, second)
        ]
        rows.append([COMPARED[name], *sides, times])
    names = found["names"]
    return Section("Side by side", [], ("", *names, "second over first"), rows)


def sensitivity(ranked: Report) -> Section:
    """The factors, ranked."""
    unit = ranked["unit"]
    title = f"What moves the {ranked['total']} most"
    notes = [
        f"Of {number(ranked['value'])} {unit}"
        + (f" ({ranked['basis']})." if ranked.get("basis") else ".")
    ]
    rows = [
        [
            " ".join(filter(None, (row["factor"], row["region"]))),
            f"{number(row['value'])} {row['unit']}",
            f"{number(row['low'])} to {number(row['high'])}, {row['varied_by']}",
            f"{number(row['total_low'])} to {number(row['total_high'])} {unit}"
            + (" at most" if row["at_most"] else ""),
            number(row["moves"]),
        ]
        for row in ranked["factors"]
    ]
    return Section(title, notes, ("factor", "value", "varied", "total then", "moves"), rows)


def quality(found: Report) -> Section:
    """Provenance and flags."""
    rows = [[name, "provenance", number(n)] for name, n in found["provenance"].items()]
    rows += [[name, "flag", number(n)] for name, n in found["flags"].items()]
    return Section("How the energy is known", [], ("", "", "requests"), rows)


def factors(found: list[Report]) -> Section:
    """The factors with their sources."""
    rows = [
        [
            *(one["name"], one["region"], f"{number(one['value'])} {one['unit']}"),
            "taken as exact"
            if one["low"] is None
            else f"{number(one['low'])} to {number(one['high'])}",
            " ".join(filter(None, (one["source"], str(one["year"] or "")))),
            number(one["requests"]),
        ]
        for one in found
    ]
    columns = ("factor", "of", "value", "interval", "source", "requests")
    return Section("Factors and their sources", [], columns if rows else (), rows)
