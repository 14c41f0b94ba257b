"""Rows 8 and 9: a request of a large hosted model, by EcoLogits' formula and by Mistral's LCA.

Sources: EcoLogits, "LLM inference" methodology and version 0.11.3 (constants of energy, latency,
server and grid; the GPU's 164 kg are NVIDIA's product footprint, as version 0.9 had it); Mistral
AI with Carbone 4 and ADEME, "Our contribution to a global environmental standard for AI" (July
2025), as quoted by others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.published.rows import J_PER_KWH, Row, factors_file, known, served
from inferprint import Receipt

TOKENS, BILLIONS, PUE = 400, 123, 1.16
GPUS, SERVER_GPUS, SERVER_KW, BATCH = 4, 8, 1.2, 64
GRIDS_G_PER_KWH = {"SWE": 35.26, "FRA": 44.2, "USA": 383.6}
PUBLISHED_G = {"SWE": 0.0411, "FRA": 0.0441, "USA": 0.1641}
MISTRAL_G, MISTRAL_ML, MISTRAL_MG_SB = 1.14, 45.0, 0.16
# Litres per kWh and kg Sb eq per kWh of France, EcoLogits 0.11.3; WUE of the model's provider
# there is not published.
FRA_WATER_L, FRA_ADPE_KG = 3.67, 4.86e-8


@dataclass(frozen=True)
class Setting:
    """What the formula is computed with; the defaults are EcoLogits'."""

    batch: int = BATCH
    pue: float = PUE
    g_per_kwh: float = GRIDS_G_PER_KWH["FRA"]
    gpu_kg: float = 164.0
    server_kg: float = 5700.0
    lifetime_years: float = 3.0
    utilisation: float = 1.0


def latency_s(batch: int) -> float:
    """Seconds that the formula gives the answer, by batch size."""
    return TOKENS * (
        0.0006785088094353663 * BILLIONS + 0.0003119310311688259 * batch + 0.019473717579473387
    )


def it_j(batch: int) -> float:
    """IT energy that the formula gives the answer, without the site's overhead."""
    per_token_wh = (
        1.1665273170451914e-06 * math.exp(-0.011205921025579175 * batch) * BILLIONS
        + 4.052928146734005e-05
    )
    gpu_kwh = TOKENS * per_token_wh / 1000
    server_kwh = latency_s(batch) / 3600 * SERVER_KW * (GPUS / SERVER_GPUS) / batch
    return (server_kwh + GPUS * gpu_kwh) * J_PER_KWH


def answer(setting: Setting) -> Receipt:
    """The receipt of one of as many alike requests in flight as the batch has."""
    with factors_file(
        embodied_carbon__gpu_X=(setting.gpu_kg, "kgCO2eq"),
        embodied_carbon__server=(setting.server_kg, "kgCO2eq"),
        embodied_adpe__gpu_X=(8.95e-3, "kgSbeq"),
        embodied_adpe__server=(0.37, "kgSbeq"),
        adpe_grid__FRA=(FRA_ADPE_KG, "kgSbeq/kWh"),
        water_grid__FRA=(FRA_WATER_L, "L/kWh"),
    ) as path:
        return served(
            {"gpu": it_j(setting.batch)},
            duration_s=latency_s(setting.batch),
            in_flight=setting.batch,
            location="FRA",
            carbon_intensity_g_per_kwh=setting.g_per_kwh,
            pue=setting.pue,
            factors_path=path,
            hardware=(f"gpu:X={GPUS}", f"server={GPUS / SERVER_GPUS}"),
            hardware_lifetime_years=setting.lifetime_years,
            hardware_utilisation=setting.utilisation,
        )


def rows(quick: bool) -> list[Row]:
    """Rows 8 and 9."""
    usual = answer(Setting())
    used = known(usual.within("comprehensive").energy_j) / J_PER_KWH * 1000
    note = f"{BATCH} alike requests in flight on {GPUS} GPUs and half a server, 3 years"
    found = [Row(8, "energy of 400 tokens", "Wh", 0.3537, used, True, note)]
    grams = {
        place: known(answer(Setting(g_per_kwh=g_per_kwh)).carbon)
        for place, g_per_kwh in GRIDS_G_PER_KWH.items()
    }
    found += [
        Row(8, f"carbon in {place}", "g", PUBLISHED_G[place], grams[place], True, note)
        for place in grams
    ]
    return [*found, *_mistral(usual, grams), *_apart()]


def _mistral(usual: Receipt, grams: Mapping[str, float]) -> list[Row]:
    unknown = "the LCA's inputs are not published; got: row 8 in FRA, what EcoLogits takes in"
    return [
        Row(9, "Mistral Large 2, carbon", "g", MISTRAL_G, known(usual.carbon), False, unknown),
        Row(9, "Mistral Large 2, water", "mL", MISTRAL_ML, 1000 * known(usual.water), False,
            unknown + ", off site alone"),
        Row(9, "Mistral Large 2, materials", "mg Sb eq", MISTRAL_MG_SB,
            1000 * known(usual.materials), False, unknown),
        Row(9, "Mistral's over EcoLogits' in SWE, carbon", "times", 28.0,
            MISTRAL_G / grams["SWE"], True, "1.14 g over row 8"),
        Row(9, "Mistral's over EcoLogits' in the USA, carbon", "times", 7.0,
            MISTRAL_G / grams["USA"], True, "1.14 g over row 8"),
    ]  # fmt: skip


def _apart() -> list[Row]:
    """The difference taken apart: each factor alone at the far end of what others publish."""
    usual = Setting()
    others = {
        "grid of the USA": Setting(g_per_kwh=GRIDS_G_PER_KWH["USA"]),
        "8 in flight instead of 64": Setting(batch=8),
        "1 in flight": Setting(batch=1),
        "PUE 1.54 (survey)": Setting(pue=1.54),
        "GPUs of 273 kg": Setting(gpu_kg=273.0),
        "half of the life used": Setting(utilisation=0.5),
        "all of these with 8 in flight": Setting(8, 1.54, GRIDS_G_PER_KWH["USA"], 273.0, 5700.0,
                                                 3.0, 0.5),
    }  # fmt: skip
    base = known(answer(usual).carbon)
    found = []
    for name, setting in others.items():
        grams = known(answer(setting).carbon)
        note = (
            f"{grams / base:.2f} times EcoLogits' {base:.4f} g; Mistral's LCA also has networks, "
            "the building and real use of the machines, of which no figure is published"
        )
        found.append(Row(9, f"EcoLogits' formula with {name}", "g", MISTRAL_G, grams, False, note))
    return found
