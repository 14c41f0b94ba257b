"""What the hardware of a machine costs for each second that is reserved on it.

Embodied impacts are spread over the time in which the hardware is used: M / (L u), with M of
all its parts, L the lifetime and u the part of it in which it is used, as Luccioni et al.
(arXiv:2211.02001, section 4.1) do for BLOOM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inferprint.errors import ConfigError
from inferprint.impacts import Factor
from inferprint.ranges import Range, sum_known
from inferprint.units import GRAMS_PER_KG, SECONDS_PER_HOUR, SECONDS_PER_YEAR

if TYPE_CHECKING:
    from inferprint.factor_tables import Tables
    from inferprint.records import Device

__all__ = ["NO_HARDWARE", "Hardware", "parse_hardware", "pieces_of", "rent", "spread"]

# A server of the tables carries so many GPUs: its share of each GPU that is seen.
GPUS_A_SERVER = 8


@dataclass(frozen=True, slots=True)
class Hardware:
    """What one second of a machine stands for; what is not known is None.

    Args:
        carbon_g_per_s: embodied CO2 equivalent.
        adpe_g_per_s: embodied depletion of elements, antimony equivalent.
        primary_energy_megajoule_per_s: embodied primary energy.
        price_per_s: money for the machine's time.
        factors: what these were computed with.
    """

    carbon_g_per_s: Range | None = None
    adpe_g_per_s: Range | None = None
    primary_energy_megajoule_per_s: Range | None = None
    price_per_s: Range | None = None
    factors: tuple[Factor, ...] = ()


NO_HARDWARE = Hardware()


def parse_hardware(pieces: Iterable[str]) -> dict[str, float]:
    """The pieces of a machine and their numbers, from settings such as ``gpu:H100=8``.

    Raises:
        ConfigError: a piece is not ``NAME=NUMBER`` with a finite number above 0.
    """
    found: dict[str, float] = {}
    for piece in pieces:
        name, _, number = piece.partition("=")
        count = float(number) if re.fullmatch(r"\d+(\.\d*)?", number.strip()) else 0.0
        if not name.strip() or count <= 0:
            expected = "NAME=NUMBER such as 'gpu:H100=8', 'server=1' or 'dram_gb=2048'"
            raise ConfigError("hardware", piece, expected, "inferprint factors lists the names.")
        found[name.strip()] = count
    return found


def pieces_of(devices: Iterable[Device], tables: Tables) -> dict[str, float]:
    """The pieces that the tables know of a machine with these devices: its GPUs by product,
    with their part of a server each.
    """
    found: dict[str, float] = {}
    for device in devices:
        product = gpu_product(device.name, tables) if device.component == "gpu" else None
        if product is not None:
            found[product] = found.get(product, 0.0) + 1.0
    if found:
        found["server"] = sum(found.values()) / GPUS_A_SERVER
    return found


def gpu_product(name: str, tables: Tables) -> str | None:
    """The product of the tables that a GPU's name, as its driver gives it, belongs to."""
    words = set(re.split(r"[\s_-]+", name.upper()))
    products = [one.region for one in tables.all() if one.name == "embodied_carbon"]
    named = [p for p in products if p.lower().startswith("gpu:") and p[4:].upper() in words]
    return max(named, key=len, default=None)


def spread(
    pieces: Mapping[str, float],
    tables: Tables,
    lifetime_years: Factor | None,
    utilisation: Factor | None,
    price_per_hour: Factor | None,
) -> Hardware:
    """What each second of a machine stands for.

    Args:
        pieces: its parts by product, and how many.
        tables: their embodied impacts, lifetimes and utilisation.
        lifetime_years: of the machine; None: that of each piece by the tables.
        utilisation: of the machine; None: that of each piece by the tables.
        price_per_hour: money for an hour of the machine; None: not known.

    Returns:
        It; an impact that is not known of one piece is not known of the machine.
    """
    used: dict[Factor, None] = {}
    spread_over = {piece: _used_s(piece, tables, lifetime_years, utilisation) for piece in pieces}

    def per_s(name: str, scale: float) -> Range | None:
        parts: list[Range] = []
        by: list[Factor] = []
        for piece, count in pieces.items():
            factor, over = _of_piece(name, piece, tables), spread_over[piece]
            if factor is None or over is None:
                return None  # and never 0
            by += [factor, *over[1]]
            parts.append((factor.range * (count * scale)).over(over[0]))
        used.update(dict.fromkeys(by))
        return sum_known(parts)

    carbon = per_s("embodied_carbon", GRAMS_PER_KG)
    adpe = per_s("embodied_adpe", GRAMS_PER_KG)
    primary_energy = per_s("embodied_primary_energy", 1.0)
    price = None if price_per_hour is None else price_per_hour.range * (1.0 / SECONDS_PER_HOUR)
    by = (*used, price_per_hour) if price_per_hour is not None else tuple(used)
    return Hardware(carbon, adpe, primary_energy, price, by)


def _of_piece(name: str, piece: str, tables: Tables) -> Factor | None:
    """An impact of a piece; of a GPU whose carbon alone is known, the rest is that of any."""
    own = tables.find(name, piece)
    if own is None and piece.lower().startswith("gpu:") and tables.find("embodied_carbon", piece):
        return tables.find(name, "gpu")
    return own


def rent(pieces: Mapping[str, float], tables: Tables) -> Factor | None:
    """What an hour of a machine's GPUs costs to rent by the lists of the tables, with host and
    electricity in it; None: one of them is in no list, or they are in several currencies.
    """
    gpus = {piece: count for piece, count in pieces.items() if piece.lower().startswith("gpu")}
    found = [(tables.find("hardware_price", piece), count) for piece, count in gpus.items()]
    prices = [(factor, count) for factor, count in found if factor is not None]
    total = sum_known(factor.range * count for factor, count in prices)
    if total is None or len(prices) < len(gpus) or len({one.unit for one, _ in prices}) > 1:
        return None
    first = prices[0][0]
    return replace(
        first,
        value=total.mid,
        low=total.low,
        high=total.high,
        source="; ".join(dict.fromkeys(one.source for one, _ in prices)),
        region=",".join(f"{piece}={count:g}" for piece, count in gpus.items()),
    )


def _used_s(
    piece: str, tables: Tables, lifetime_years: Factor | None, utilisation: Factor | None
) -> tuple[Range, tuple[Factor, Factor]] | None:
    """Seconds in which a piece is used in its life, and the factors that say so."""
    kind = "gpu" if piece.lower().startswith("gpu") else "server"
    lifetime = lifetime_years or tables.find("lifetime", piece, kind, "")
    used = utilisation or tables.find("utilisation", piece, kind, "")
    if lifetime is None or used is None:
        return None
    return lifetime.range * used.range * SECONDS_PER_YEAR, (lifetime, used)
