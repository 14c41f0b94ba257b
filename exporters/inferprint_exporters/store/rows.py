"""From a receipt to a row of the table of receipts."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, func

from inferprint.flags import HOSTED
from inferprint.impacts import Factor
from inferprint.ranges import Range
from inferprint.receipt import Receipt, plain
from inferprint.units import SECONDS_PER_HOUR
from inferprint_exporters.store.tables import COMPONENTS, GRID, PARTS, RANGES, receipts

__all__ = ["INTENSITY", "factor_set", "has_label", "rows_of"]

INTENSITY = "grid_carbon_intensity"
SECONDS_PER_DAY = 86_400
# Beyond these a number is no count any more, but a fault of what told it.
MOST_SHARERS = 1 << 20
MOST_TOKENS = 10**12
COLUMNS = tuple(column.name for column in receipts.columns if column.name not in ("id", "batch"))
_OWN_COLUMNS = ("route", "tenant", "phase")


def rows_of(receipt: Receipt, parent_id: str | None = None) -> Iterator[dict[str, Any]]:
    """The row of a receipt, and those of the receipts inside it, each with its parent."""
    yield _row(receipt, parent_id)
    for child in receipt.children:
        yield from rows_of(child, receipt.request_id)


def factor_set(factors: tuple[Factor, ...]) -> tuple[str, str]:
    """The key of a set of factors, and the set as JSON: the same sources and numbers have the
    same key, but for the grid's carbon intensity, whose number is the hour's and not in it.
    """
    return _as_json(tuple(_timeless(factor) for factor in factors))


def _timeless(factor: Factor) -> Factor:
    if factor.name != INTENSITY:
        return factor
    return replace(factor, value=0.0, low=None, high=None)


@functools.lru_cache(maxsize=256)
def _as_json(factors: tuple[Factor, ...]) -> tuple[str, str]:
    text = json.dumps([plain(factor) for factor in factors], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), text


def _row(receipt: Receipt, parent_id: str | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= _identity(receipt) | {"parent_id": parent_id}
    row |= _labels(receipt.labels)
    row |= _time(receipt)
    for name, figure in _figures(receipt).items():
        row |= _ends(name, figure)
    row |= _middles(receipt)
    for factor in receipt.factors:
        if factor.name == INTENSITY:
            grid = factor.range
            row |= dict(zip(GRID, (grid.mid, grid.low, grid.high), strict=True))
    return row


def _identity(receipt: Receipt) -> dict[str, Any]:
    carbon, cost = receipt.carbon, receipt.cost
    return {
        "request_id": _text(receipt.request_id),
        "model": _text(receipt.model),
        "outcome": receipt.outcome,
        "carbon_basis": None if carbon is None else carbon.basis,
        "currency": None if cost is None else cost.currency,
        "quote_error_ratio": receipt.quote_error_ratio,
        "provenance": receipt.provenance,
        "flags": ",".join(sorted(receipt.flags)),
        "hosted": HOSTED in receipt.flags,
        "idle_policy": receipt.idle_policy,
        "attribution_method": receipt.attribution_method,
        "factor_set": factor_set(receipt.factors)[0],
    }


def _text(given: object) -> str:
    """A text that every database takes: no NUL, and no half of a surrogate pair."""
    return str(given).replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _labels(labels: Mapping[str, str]) -> dict[str, Any]:
    own = {name: _text(labels[name]) for name in _OWN_COLUMNS if name in labels}
    others = {_text(k): _text(v) for k, v in labels.items() if k not in _OWN_COLUMNS}
    return own | {"labels": json.dumps(others) if others else None}


def has_label(name: str, value: str) -> ColumnElement[bool]:
    """The condition that a row has a label of this value; no index helps to find it."""
    if name in _OWN_COLUMNS:
        return receipts.c[name] == _text(value)
    # As it was written, in both databases alike: LIKE ignores case in SQLite. A quote inside of
    # another label is written with a backslash, so that none can hold this.
    written = json.dumps({_text(name): _text(value)})[1:-1]
    return func.replace(receipts.c.labels, written, "") != receipts.c.labels


def _time(receipt: Receipt) -> dict[str, Any]:
    assert receipt.started_at is not None, "a tracker's receipts have their time"
    started_s = receipt.started_at.timestamp()
    day, of_day = divmod(started_s, SECONDS_PER_DAY)
    return {
        "started_at": started_s,
        "day": int(day),
        "hour": int(of_day // SECONDS_PER_HOUR),
        "duration_s": receipt.duration_s,
        "time_to_first_token_s": receipt.time_to_first_token_s,
        "reserved_s": receipt.reserved_s,
        "concurrency": _concurrency(receipt),
    }


def _concurrency(receipt: Receipt) -> int | None:
    """How many ran at a time beside it, itself included: at most this power of two.

    Each second of the machine is shared alike by those in flight, so time in flight over time
    reserved is how many there were. Where it waited for requests inside it, that is not known.
    """
    reserved_s = receipt.reserved_s
    if not reserved_s or receipt.children or not receipt.duration_s:
        return None
    # A shade less: the sum of a lone request's shares is its duration but for rounding.
    sharers = receipt.duration_s / reserved_s * (1 - 1e-6)
    return 1 << max(0, math.ceil(math.log2(sharers))) if sharers <= MOST_SHARERS else None


def _figures(receipt: Receipt) -> dict[str, Range | None]:
    energy, carbon = receipt.energy, receipt.carbon
    figures = (
        *(energy.total_j, energy.active_j, energy.idle_j, energy.standing_j, energy.overhead_j),
        *(carbon, carbon and carbon.operational_g, carbon and carbon.embodied_g),
        *(receipt.water, receipt.materials, receipt.primary_energy, receipt.cost),
    )
    return dict(zip(RANGES, figures, strict=True))


def _ends(name: str, figure: Range | None) -> dict[str, float | None]:
    if figure is None:
        return {}
    return {name: figure.mid, f"{name}_low": figure.low, f"{name}_high": figure.high}


def _middles(receipt: Receipt) -> dict[str, Any]:
    water, materials, primary = receipt.water, receipt.materials, receipt.primary_energy
    cost, training, told = receipt.cost, receipt.training, receipt.tokens
    figures: dict[str, Range | None] = {
        # Of tests and of others' exporters, water may be a Range without parts.
        "water_site_l": getattr(water, "site_l", None),
        "water_grid_l": getattr(water, "grid_l", None),
        "materials_grid_g": materials and materials.grid_g,
        "materials_embodied_g": materials and materials.embodied_g,
        "primary_energy_grid_megajoule": primary and primary.grid_megajoule,
        "primary_energy_embodied_megajoule": primary and primary.embodied_megajoule,
        "cost_electricity": cost and cost.electricity,
        "cost_hardware": cost and cost.hardware,
        "training_energy_j": training.energy_j if training else None,
        "training_carbon_g": training.carbon_g if training else None,
    }
    middles = {name: None if figure is None else figure.mid for name, figure in figures.items()}
    return {
        **middles,
        **_components(receipt),
        "input_tokens": _count(told.input),
        "cached_input_tokens": _count(told.cached_input),
        "output_tokens": _count(told.output),
    }


def _count(tokens: int | None) -> int | None:
    return tokens if tokens is not None and tokens <= MOST_TOKENS else None


def _components(receipt: Receipt) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, component in receipt.energy.by_component.items():
        parts = (component.total_j, component.active_j, component.idle_j, component.standing_j)
        if name in COMPONENTS:
            found |= {
                f"{name}_{part}": figure.mid
                for part, figure in zip(PARTS, parts, strict=True)
                if figure is not None
            }
    return found
