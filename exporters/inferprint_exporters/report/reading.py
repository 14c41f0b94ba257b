"""Reads from a store what a report needs: whole days from the sums, and only what is left of days
that are cut from the receipts themselves.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, select, true

from inferprint.impacts import Factor
from inferprint_exporters.report.question import Question
from inferprint_exporters.store.fold import summed
from inferprint_exporters.store.rows import SECONDS_PER_DAY, has_label
from inferprint_exporters.store.tables import (
    CELL,
    EXTREMES,
    SUMS,
    devices,
    factor_sets,
    receipts,
    sums,
)

__all__ = ["Device", "Found", "Load", "Row", "read"]

LOAD = "load"
"""The value of the label ``phase`` of a request that loads its model."""


class Row(NamedTuple):
    """Sums of the receipts of one model that are alike in one thing.

    Args:
        day: since 1970; None: of several days.
        model: their model.
        dimension: which thing, such as ``tenant``.
        value: what it is of them.
        basis: of their carbon; ``?``: it is not known.
        currency: of their cost; empty: it is not known.
        values: in the order of ``SUMS``.
        first_s, last_s: when the first began and the last ended.
    """

    day: int | None
    model: str
    dimension: str
    value: str
    basis: str
    currency: str
    values: Sequence[float]
    first_s: float
    last_s: float


class Device(NamedTuple):
    """A device that receipts were made from."""

    host: str
    device: str
    component: str
    name: str


class Load(NamedTuple):
    """What loading a model took, by the requests labelled so.

    Args:
        loads: how many there are.
        known: of how many the energy is known.
        low_j, mid_j, high_j: of all of them.
        idle_j, standing_j: the part of it that is idle energy.
    """

    loads: int
    known: int
    low_j: float
    mid_j: float
    high_j: float
    idle_j: float
    standing_j: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a store has for a question.

    Args:
        rows: by everything that there are sums by.
        days: by day and outcome.
        factors: the sets of factors, by their key.
        devices: what was read, on which hosts.
        loads: by model.
        hosted: requests of models that run elsewhere.
    """

    rows: Sequence[Row]
    days: Sequence[Row]
    factors: Mapping[str, tuple[Factor, ...]]
    devices: Sequence[Device]
    loads: Mapping[str, Load]
    hosted: int


def read(engine: Engine, question: Question) -> Found:
    """What a store has for a question; as of one moment."""
    with engine.connect() as connection, connection.begin():
        cut = list(_cut_days(connection, question))
        rows = [*_whole_days(connection, question, by_day=False), *cut]
        days = [*_whole_days(connection, question, by_day=True)]
        days += [row for row in cut if row.dimension == "fate"]
        used = {row.value for row in rows if row.dimension == "factors"}
        return Found(
            rows,
            days,
            {key: value for key, value in _factors(connection) if key in used},
            [Device(*row) for row in connection.execute(select(*devices.c))],
            dict(_loads(connection, question)),
            _hosted(connection),
        )


def _days(question: Question) -> tuple[float, float]:
    """The first whole day, and the first after the last whole one."""
    if question.labels:  # the sums are not kept by them: no day is read as a whole
        return math.inf, -math.inf
    since_s, until_s = question.since_s, question.until_s
    first = -math.inf if since_s is None else math.ceil(since_s / SECONDS_PER_DAY)
    after = math.inf if until_s is None else math.floor(until_s / SECONDS_PER_DAY)
    return first, after


def _cuts(question: Question) -> Iterator[tuple[float, float]]:
    """The times outside the whole days."""
    first, after = _days(question)
    since_s = -math.inf if question.since_s is None else question.since_s
    until_s = math.inf if question.until_s is None else question.until_s
    if first > after:
        yield since_s, until_s
        return
    yield since_s, first * SECONDS_PER_DAY
    yield after * SECONDS_PER_DAY, until_s


def _wanted(table: Any, question: Question) -> list[ColumnElement[bool]]:
    conditions = [has_label(name, value) for name, value in question.labels]
    if question.models:
        conditions.append(table.c.model.in_(question.models))
    if not question.include_hosted:
        conditions.append(table.c.hosted.is_(False))
    return conditions


def _whole_days(connection: Connection, question: Question, *, by_day: bool) -> Iterator[Row]:
    first, after = _days(question)
    if first > after:
        return
    c = sums.c
    keys = [c.model, c.dimension, c.value, c.carbon_basis, c.currency]
    where = _wanted(sums, question)
    if by_day:
        keys, where = [c.day, *keys], [*where, c.dimension == "fate"]
    if first > -math.inf:
        where.append(c.day >= first)
    if after < math.inf:
        where.append(c.day < after)
    totals = [func.sum(c[name]) for name in SUMS]
    asked = select(*keys, *totals, func.min(c.first_s), func.max(c.last_s))
    # Feedback may have left nothing of a row.
    asked = asked.where(and_(true(), *where)).group_by(*keys).having(func.sum(c.requests) > 0)
    for row in connection.execute(asked):
        yield _row(row if by_day else (None, *row))


def _cut_days(connection: Connection, question: Question) -> Iterator[Row]:
    at = receipts.c.started_at
    for since_s, until_s in _cuts(question):
        if not since_s < until_s:
            continue
        where = and_(true(), *_wanted(receipts, question))
        where = and_(where, at >= since_s) if since_s > -math.inf else where
        where = and_(where, at < until_s) if until_s < math.inf else where
        hosted = CELL.index("hosted")
        for row in connection.execute(summed(where)):
            yield _row((*row[:hosted], *row[hosted + 1 :]))


def _row(row: Sequence[Any]) -> Row:
    """A row of the key's columns, the sums and the extremes."""
    key = len(CELL) - 1
    day, model, dimension, value, basis, currency = row[:key]
    first_s, last_s = row[-len(EXTREMES) :]
    # PostgreSQL gives the sum of whole numbers as a Decimal.
    figures = [int(n) if isinstance(n, Decimal) else n for n in row[key : key + len(SUMS)]]
    return Row(day, model, dimension, value, basis, currency, figures, first_s, last_s)


def _factors(connection: Connection) -> Iterator[tuple[str, tuple[Factor, ...]]]:
    c = factor_sets.c
    for key, text in connection.execute(select(c.factor_set, c.factors)):
        yield key, tuple(Factor(**factor) for factor in json.loads(text))


def _loads(connection: Connection, question: Question) -> Iterator[tuple[str, Load]]:
    r = receipts.c
    totals = (r.energy_j_low, r.energy_j, r.energy_j_high, r.idle_j, r.standing_j)
    asked = select(
        r.model,
        func.count(),
        func.count(r.energy_j),
        *(func.coalesce(func.sum(column), 0.0) for column in totals),
    )
    where = [r.phase == LOAD, *_wanted(receipts, question)]
    if question.since_s is not None:
        where.append(r.started_at >= question.since_s)
    if question.until_s is not None:
        where.append(r.started_at < question.until_s)
    for model, *figures in connection.execute(asked.where(*where).group_by(r.model)):
        yield model, Load(*figures)


def _hosted(connection: Connection) -> int:
    c = sums.c
    asked = select(func.sum(c.requests)).where(c.hosted.is_(True), c.dimension == "fate")
    return int(connection.scalar(asked) or 0)
