"""The tables of a store: one of receipts, and one of their sums, kept in the same transaction.

Of a figure that is not known, the column is NULL in a receipt; in the sums, it counts for
nothing, and a column beside it counts the requests of which it was known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    case,
    func,
)

from inferprint.units import JOULES_PER_KWH

__all__ = ["DIMENSIONS", "FIGURES", "METADATA", "VERSION", "aggregates", "known_of"]

VERSION = 1
"""Of the tables; a store of a later one is refused."""

METADATA = MetaData()
KEY = BigInteger().with_variant(Integer, "sqlite")  # which SQLite numbers by itself
REAL = Float(53)

RANGES = (
    *("energy_j", "active_j", "idle_j", "standing_j", "overhead_j"),
    *("carbon_g", "carbon_operational_g", "carbon_embodied_g"),
    *("water_l", "materials_g", "primary_energy_megajoule", "cost"),
)
"""Figures that have a low and a high end, in columns of their own."""

COMPONENTS = ("gpu", "cpu", "dram")
PARTS = ("energy_j", "active_j", "idle_j", "standing_j")
BY_COMPONENT = tuple(f"{name}_{part}" for name in COMPONENTS for part in PARTS)

PLAIN = (
    *BY_COMPONENT,
    *("water_site_l", "water_grid_l", "materials_grid_g", "materials_embodied_g"),
    *("primary_energy_grid_megajoule", "primary_energy_embodied_megajoule"),
    *("cost_electricity", "cost_hardware", "training_energy_j", "training_carbon_g"),
    *("duration_s", "time_to_first_token_s", "reserved_s"),
)
"""Figures of which the middle alone is kept."""

TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens")

GRID = ("grid_g_per_kwh", "grid_g_per_kwh_low", "grid_g_per_kwh_high")
"""The carbon intensity that a receipt was computed with."""

FIGURES = (*RANGES, *PLAIN, *TOKENS)
"""Every figure that is summed."""


def ends_of(figure: str) -> tuple[str, ...]:
    """The columns of a figure: its middle, and its ends where it has any."""
    return (figure, f"{figure}_low", f"{figure}_high") if figure in RANGES else (figure,)


def known_of(figure: str) -> str:
    """The column of the sums that counts the requests of which a figure was known."""
    return f"{figure}_known"


store = Table(
    "inferprint_store",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("id = 1"),
)

receipts = Table(
    "receipts",
    METADATA,
    Column("id", KEY, primary_key=True),
    # What the receipt says.
    Column("request_id", Text, nullable=False),
    Column("parent_id", Text),
    Column("model", Text, nullable=False),
    Column("route", Text),
    Column("tenant", Text),
    Column("phase", Text),
    Column("labels", Text),  # the others, as one JSON object
    Column("outcome", String(16)),
    Column("useful", Boolean),
    Column("started_at", REAL, nullable=False),  # seconds since 1970, UTC
    *(Column(name, REAL) for figure in (*RANGES, *PLAIN) for name in ends_of(figure)),
    *(Column(name, BigInteger) for name in TOKENS),
    Column("carbon_basis", Text),
    Column("currency", String(3)),
    Column("quote_error_ratio", REAL),
    Column("provenance", String(16), nullable=False),
    Column("flags", Text, nullable=False),  # separated by commas, in order
    Column("idle_policy", String(16), nullable=False),
    Column("attribution_method", Text, nullable=False),
    Column("factor_set", String(64), nullable=False),
    # The one factor that is the hour's, and so almost of each receipt its own.
    *(Column(name, REAL) for name in GRID),
    # What follows from that, to group by.
    Column("day", Integer, nullable=False),  # since 1970, UTC
    Column("hour", Integer, nullable=False),  # of that day
    Column("concurrency", Integer),  # at most so many at a time, a power of two
    Column("hosted", Boolean, nullable=False),
    Column("batch", BigInteger, nullable=False),  # the transaction that brought it
    UniqueConstraint("request_id"),
    Index("receipts_by_time", "started_at"),
    Index("receipts_by_phase", "phase"),
)

factor_sets = Table(
    "factor_sets",
    METADATA,
    Column("factor_set", String(64), primary_key=True),
    Column("factors", Text, nullable=False),  # a JSON list
)

pending_feedback = Table(
    "pending_feedback",
    METADATA,
    Column("request_id", Text, primary_key=True),
    Column("useful", Boolean, nullable=False),
)

devices = Table(
    "devices",
    METADATA,
    Column("host", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("component", String(16), nullable=False),
    Column("name", Text, nullable=False),
)


def _fate() -> ColumnElement[Any]:
    """The outcome, with ``useless`` for what went well and was of no use."""
    r = receipts.c
    no_use = (r.outcome == "ok") & r.useful.is_(False)
    return case((no_use, "useless"), else_=r.outcome)


DIMENSIONS: Mapping[str, ColumnElement[Any]] = {
    "fate": _fate(),
    "hour": receipts.c.hour,
    "route": receipts.c.route,
    "tenant": receipts.c.tenant,
    "concurrency": receipts.c.concurrency,
    "factors": receipts.c.factor_set,
    "quality": receipts.c.provenance + ":" + receipts.c.flags,
}
"""What the sums are kept by, beside the day and the model: every receipt is in one row of each."""


def _when(condition: ColumnElement[bool], figure: Any) -> ColumnElement[Any]:
    return func.coalesce(func.sum(case((condition, figure))), 0)


def aggregates() -> dict[str, ColumnElement[Any]]:
    """What each column of the sums adds up, over rows of ``receipts``."""
    r = receipts.c
    made: dict[str, ColumnElement[Any]] = {
        "requests": func.count(),
        "workflows": _when(r.parent_id.is_(None), 1),
        "quoted": func.count(r.quote_error_ratio),
    }
    for figure in FIGURES:
        for name in ends_of(figure):
            made[name] = func.coalesce(func.sum(r[name]), 0)
        made[known_of(figure)] = func.count(r[figure])
    told = r.input_tokens.is_not(None) & r.output_tokens.is_not(None)
    carbon_told = told & r.carbon_g.is_not(None)
    with_output = (r.output_tokens > 0) & r.energy_j.is_not(None) & r.active_j.is_not(None)
    kwh = (r.energy_j + func.coalesce(r.overhead_j, 0.0)) / JOULES_PER_KWH
    resident = r.reserved_s.is_not(None) & r.idle_j.is_not(None)
    return made | {
        # For ratios, whose two figures must be of the same requests.
        "carbon_of_told_g": _when(carbon_told, r.carbon_g),
        "carbon_of_told_g_low": _when(carbon_told, r.carbon_g_low),
        "carbon_of_told_g_high": _when(carbon_told, r.carbon_g_high),
        "tokens_with_carbon": _when(carbon_told, r.input_tokens + r.output_tokens),
        "outputs_with_carbon": _when(carbon_told, r.output_tokens),
        "energy_of_output_j": _when(with_output, r.energy_j),
        "active_of_output_j": _when(with_output, r.active_j),
        "outputs_with_energy": _when(with_output, r.output_tokens),
        "requests_with_output": _when(with_output, 1),
        "grid_kwh": _when(r.grid_g_per_kwh.is_not(None), kwh),
        "grid_g": _when(r.grid_g_per_kwh.is_not(None), kwh * r.grid_g_per_kwh),
        "grid_g_low": _when(r.grid_g_per_kwh.is_not(None), kwh * r.grid_g_per_kwh_low),
        "grid_g_high": _when(r.grid_g_per_kwh.is_not(None), kwh * r.grid_g_per_kwh_high),
        "idle_of_reserved_j": _when(resident, r.idle_j),
        "reserved_with_idle_s": _when(resident, r.reserved_s),
    }


EXTREMES: Mapping[str, ColumnElement[Any]] = {
    "first_s": func.min(receipts.c.started_at),
    "last_s": func.max(receipts.c.started_at + receipts.c.duration_s),
}

_COUNTS = {"requests", "workflows", "quoted", "requests_with_output"}


def _sum_column(name: str) -> Column[Any]:
    whole = name in _COUNTS or name.endswith("_known") or name in TOKENS
    return Column(name, BigInteger if whole else REAL, nullable=False)


SUMS = tuple(aggregates())
NO_CARBON = "?"
"""The basis, in the sums, of what has no carbon figure."""
CELL = ("day", "model", "dimension", "value", "carbon_basis", "currency", "hosted")

sums = Table(
    "sums",
    METADATA,
    Column("day", Integer, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("dimension", String(16), primary_key=True),
    Column("value", Text, primary_key=True),  # empty where a receipt has none
    Column("carbon_basis", Text, primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("hosted", Boolean, primary_key=True),
    *(_sum_column(name) for name in SUMS),
    *(Column(name, REAL, nullable=False) for name in EXTREMES),
)
