"""Rows 5 to 7: Google's median prompt and the water of a request at three places."""

from __future__ import annotations

from benchmarks.published.rows import J_PER_WH, Row, factors_file, known, served

# Elsworth et al., "Measuring the environmental impact of delivering AI at Google Scale",
# arXiv:2508.15734 (2025), table 2.
ACCELERATOR_WH, HOST_WH, IDLE_WH, OVERHEAD_WH = 0.14, 0.06, 0.02, 0.02
PUE, WUE_L_PER_KWH = 1.09, 1.15
# Li, Yang, Islam, Ren, "Making AI Less Thirsty", arXiv:2304.03271, table 1: on-site WUE, PUE,
# off-site litres per kWh, and millilitres for 4 Wh of IT energy.
PLACES = ((0.55, 1.17, 3.142, 16.90), (0.95, 1.15, 9.501, 47.5), (0.25, 1.28, 1.287, 7.59))


def rows(quick: bool) -> list[Row]:
    """Rows 5 to 7."""
    return [*_google(), *_water()]


def _google() -> list[Row]:
    it_wh = ACCELERATOR_WH + HOST_WH + IDLE_WH
    receipt = served(
        {"gpu": ACCELERATOR_WH * J_PER_WH, "cpu": HOST_WH * J_PER_WH},
        idle_j={"gpu": IDLE_WH * J_PER_WH},
        pue=1 + OVERHEAD_WH / it_wh,
        wue_l_per_kwh=WUE_L_PER_KWH,
    )
    parts = receipt.four_parts()
    whole_wh = known(receipt.within("comprehensive").energy_j) / J_PER_WH
    narrow_wh = known(receipt.within("narrow").energy_j) / J_PER_WH
    water_ml = known(served({"gpu": 0.24 / PUE * J_PER_WH}, wue_l_per_kwh=WUE_L_PER_KWH).water)
    note = "parts as published; the overhead as the PUE that it amounts to"
    return [
        Row(5, "median prompt, comprehensive", "Wh", 0.24, whole_wh, True, note),
        Row(5, "idle machines' part", "Wh", IDLE_WH, known(parts.idle_j) / J_PER_WH, True, note),
        Row(5, "overhead's part", "Wh", OVERHEAD_WH, known(parts.overhead_j) / J_PER_WH, True,
            note),
        Row(5, "over the active accelerator", "times", 1.72, whole_wh / narrow_wh, True, note),
        Row(5, "narrow boundary", "Wh", 0.10, None, False,
            "the paper's narrow figure is of other machines than its 0.14 Wh of active "
            "accelerators, which our `narrow` gives; what it is made of is not published"),
        Row(6, "water of the median prompt", "mL", 0.253, 1000 * water_ml, True,
            "0.24 Wh over the PUE, times the WUE"),
        Row(6, "water of the median prompt, as published", "mL", 0.26, 1000 * water_ml, False,
            "published from figures before they were rounded"),
    ]  # fmt: skip


def _water() -> list[Row]:
    found: list[Row] = []
    for site, pue, grid, millilitres in PLACES:
        with factors_file(water_grid__FRA=(grid, "L/kWh")) as path:
            receipt = served(
                {"gpu": 4 * J_PER_WH},
                location="FRA",
                factors_path=path,
                pue=pue,
                wue_l_per_kwh=site,
            )
        note = f"4 Wh of IT energy, {site} L/kWh on site, PUE {pue}, {grid} L/kWh off it: PUE once"
        found.append(
            Row(
                7, f"water at PUE {pue}", "mL", millilitres, 1000 * known(receipt.water), True, note
            )
        )
    return found
