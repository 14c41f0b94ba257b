"""A report as sections of text and tables, for people; Markdown and HTML show the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from inferprint_exporters.report.figures import (
    NOT_KNOWN,
    grams,
    joules,
    litres,
    money,
    number,
    percent,
    watt_hours,
)

__all__ = ["Section", "sections"]

Report = Mapping[str, Any]
NO_NAME = "(none)"
NO_BASIS = "basis not named"
GROUPS = {
    "models": "By model",
    "routes": "By route",
    "tenants": "By tenant",
    "outcomes": "By outcome",
    "hours": "By hour of the day, UTC",
    "days": "By day, UTC",
}
GROUP_COLUMNS = (
    *("", "requests", "energy", "active", "idle", "standing", "carbon", "cost"),
    *("output tokens", "not known"),
)


COMPARED = {
    "carbon_g_per_request": "gCO2e a request",
    "cost_per_request": "money a request",
    "energy_j_per_request": "J a request",
    "active_j_per_request": "active J a request",
    "duration_s_per_request": "s a request",
    "water_l_per_request": "L of water a request",
    "energy_j_per_output_token": "J an output token",
}


class Section(NamedTuple):
    """A heading, sentences, and a table if it has columns."""

    title: str
    notes: list[str]
    columns: tuple[str, ...] = ()
    rows: list[list[str]] = []  # noqa: RUF012 - never changed


def sections(report: Report) -> Iterator[Section]:
    """All that a report says, in the order in which it is read."""
    yield _totals(report)
    yield _impacts(report)
    for name, title in GROUPS.items():
        if set(report[name]) - {""}:
            rows = [_group_row(key, block) for key, block in report[name].items()]
            yield Section(title, [], GROUP_COLUMNS, rows)
    yield _wasted(report["wasted"])
    yield _resident(report["resident"])
    yield _concurrency(report["concurrency"])
    yield _sci(report["sci"])
    yield _stages(report["stages"])
    if "compare" in report:
        yield _compare(report["compare"])
    for ranked in report.get("sensitivity", ()):
        yield _sensitivity(ranked)
    yield _quality(report["quality"])
    yield _factors(report["factors"])


def _totals(report: Report) -> Section:
    period, hosted = report["period"], report["hosted"]
    notes = [f"{number(report['requests'])} requests"]
    if period["first_started"]:
        notes[0] += f", from {period['first_started']} to {period['last_ended']}"
    notes[0] += "."
    if hosted["requests"]:
        verb = "are among them" if hosted["included"] else "are left out (--include-hosted)"
        notes.append(
            f"{number(hosted['requests'])} estimates for models that run elsewhere {verb}."
        )
    between, unknown = report["ranges"], report["unknown"]
    rows = [
        [title, watt_hours(report[name], between.get(name)), _unknown(unknown, name)]
        for title, name in (
            ("energy", "energy_j"),
            ("active: the work", "active_j"),
            ("idle: while requests ran", "idle_j"),
            ("standing: while none ran", "standing_j"),
            ("overhead of the site", "overhead_j"),
        )
    ]
    rows += [[f"of it {c}", watt_hours(p["energy_j"]), ""] for c, p in _parts(report)]
    for name, count in report["tokens"].items():
        rows.append(
            [f"{name.replace('_', ' ')} tokens", number(count), _unknown(unknown, f"{name}_tokens")]
        )
    return Section("Totals", notes, ("", "sum", "not known of"), rows)


def _parts(report: Report) -> list[tuple[str, Report]]:
    return list(report["by_component"].items())


def _unknown(unknown: Mapping[str, int], name: str) -> str:
    count = unknown.get(name, 0)
    return f"{number(count)} requests" if count else ""


def _impacts(report: Report) -> Section:
    between, unknown = report["ranges"], report["unknown"]
    rows = []
    for carbon in report["carbon"] or [{}]:
        total = grams(carbon.get("carbon_g"), carbon.get("range"), "CO2e")
        rows.append(
            [
                "carbon",
                total,
                (carbon.get("basis") or NO_BASIS) if carbon else "",
                _unknown(unknown, "carbon_g"),
            ]
        )
        for name, title in (("operational_g", "of use"), ("embodied_g", "of making the hardware")):
            if carbon:
                rows.append([f"carbon, {title}", grams(carbon[name], None, "CO2e"), "", ""])
    water = litres(report["water_l"], between.get("water_l"))
    drunk = _parts_of(litres, site=report["water_site_l"], grid=report["water_grid_l"])
    metals = grams(report["materials_g"], between.get("materials_g"), "Sb eq")
    mined = _parts_of(
        grams, electricity=report["materials_grid_g"], hardware=report["materials_embodied_g"]
    )
    primary = NOT_KNOWN
    if report["primary_energy_megajoule"] is not None:
        primary = f"{number(report['primary_energy_megajoule'])} MJ"
    rows += [
        ["water", water, drunk, _unknown(unknown, "water_l")],
        ["materials", metals, f"ADPe; {mined}", _unknown(unknown, "materials_g")],
        ["primary energy", primary, "", _unknown(unknown, "primary_energy_megajoule")],
    ]
    for cost in report["costs"] or [{}]:
        total = money(cost.get("cost"), cost.get("currency"))
        rows.append(["cost", total, _cost_parts(cost), _unknown(unknown, "cost")])
    return Section("What it means", [], ("", "sum", "", "not known of"), rows)


def _parts_of(shown: Callable[[float | None], str], **parts: float | None) -> str:
    """What a sum is made of, and what of it is not known."""
    if all(value is None for value in parts.values()):
        return ""
    return ", ".join(f"{name} {shown(value)}" for name, value in parts.items())


def _words(name: str) -> str:
    """A figure's name without its unit."""
    return name.removesuffix("_j").removesuffix("_g").replace("_", " ")


def _cost_parts(cost: Report) -> str:
    parts = ((name, cost.get(name)) for name in ("electricity", "hardware"))
    return ", ".join(f"{name} {number(value)}" for name, value in parts if cost)


def _group_row(name: str, block: Report) -> list[str]:
    energy = [watt_hours(block[n]) for n in ("energy_j", "active_j", "idle_j", "standing_j")]
    carbon = [grams(c["carbon_g"]) for c in block["carbon"]] or [NOT_KNOWN]
    costs = [money(c["cost"], c["currency"]) for c in block["costs"]] or [NOT_KNOWN]
    unknown = [f"{_words(n)} of {number(c)}" for n, c in _partly(block)]
    return [
        *(name or NO_NAME, number(block["requests"]), *energy),
        *(" + ".join(carbon), " + ".join(costs)),
        *(number(block["tokens"]["output"]), ", ".join(unknown)),
    ]


def _partly(block: Report) -> list[tuple[str, int]]:
    """What is in the row and known of a part of its requests alone."""
    shown = ("energy_j", "active_j", "idle_j", "standing_j", "carbon_g", "cost", "output_tokens")
    return [(n, c) for n, c in block["unknown"].items() if n in shown and c < block["requests"]]


def _wasted(wasted: Report) -> Section:
    share = percent(wasted["share"])
    notes = [f"{share} of the energy went to requests that failed, were cancelled or of no use."]
    rows = [_group_row(name, block) for name, block in wasted["by"].items()]
    return Section("Wasted", notes, GROUP_COLUMNS if rows else (), rows)


def _resident(found: Report) -> Section:
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
                *(_watts(model["idle_power_w"]), number(model["requests_per_hour"])),
                *(joules(load and load["mid"]), number(needed)),
                NOT_KNOWN if saves is None else "yes" if saves else "no",
                "; ".join(model["notes"]),
            ]
        )
    columns = (
        *("", "idle share", "idle energy a request", "idle power", "requests an hour"),
        *("energy of a load", "unloading saves below", "saves now", "notes"),
    )
    return Section("What keeping a model loaded costs", notes, columns, rows)


def _watts(watts: float | None) -> str:
    return NOT_KNOWN if watts is None else f"{number(watts)} W"


def _concurrency(found: list[Report]) -> Section:
    rows = [
        [
            *(str(one["at_most"]), number(one["requests"]), number(one["output_tokens"])),
            *(joules(one["j_per_output_token"]), joules(one["active_j_per_output_token"])),
        ]
        for one in found
    ]
    columns = ("at a time, at most", "requests", "output tokens", "for each of them", "active")
    return Section("Energy of an output token by concurrency", [], columns if rows else (), rows)


def _sci(found: Report) -> Section:
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
                [unit.replace("_", " "), grams(per and per["mid"], per), score["basis"] or NO_BASIS]
            )
    return Section("SCI", notes, ("R", "score", "basis") if rows else (), rows)


def _stages(found: list[Report]) -> Section:
    rows = []
    for stage in found:
        carbon = [grams(c["carbon_g"], None, "CO2e") for c in stage["carbon"]]
        carbon = (
            [" + ".join(carbon) + (f" ({stage['note']})" if stage["note"] else "")]
            if carbon
            else [""]
        )
        included = "; ".join(stage["included"]) or "nothing"
        rows.append(
            [stage["stage"], stage["name"], included, "; ".join(stage["not_included"]), *carbon]
        )
    columns = ("stage", "", "included", "not included, and why", "carbon")
    return Section("Stages of the life cycle (ITU-T L.1410)", [], columns, rows)


def _compare(found: Report) -> Section:
    first, second = found["sides"]
    rows = [["requests", number(first["requests"]), number(second["requests"]), ""]]
    for name, over in found["second_over_first"].items():
        times = NOT_KNOWN if over is None else number(over["mid"])
        if over is not None and over["low"] < over["high"]:
            times += f" ({number(over['low'])} to {number(over['high'])})"
        sides = [
            number(side["each"][name] and side["each"][name]["mid"]) for side in (first, second)
        ]
        rows.append([COMPARED[name], *sides, times])
    names = found["names"]
    return Section("Side by side", [], ("", *names, "second over first"), rows)


def _sensitivity(ranked: Report) -> Section:
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


def _quality(found: Report) -> Section:
    rows = [[name, "provenance", number(n)] for name, n in found["provenance"].items()]
    rows += [[name, "flag", number(n)] for name, n in found["flags"].items()]
    return Section("How the energy is known", [], ("", "", "requests"), rows)


def _factors(found: list[Report]) -> Section:
    rows = [
        [
            *(one["name"], one["region"], f"{number(one['value'])} {one['unit']}"),
            NOT_KNOWN if one["low"] is None else f"{number(one['low'])} to {number(one['high'])}",
            " ".join(filter(None, (one["source"], str(one["year"] or "")))),
            number(one["requests"]),
        ]
        for one in found
    ]
    columns = ("factor", "of", "value", "interval", "source", "requests")
    return Section("Factors and their sources", [], columns if rows else (), rows)
