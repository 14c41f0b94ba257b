"""Sums of receipts, by day, model and one more thing each: kept beside the receipts, so that a
report reads a few thousand rows instead of all receipts.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.sql.compiler import SQLCompiler

from inferprint_exporters.store.tables import (
    CELL,
    DIMENSIONS,
    EXTREMES,
    NO_CARBON,
    SUMS,
    aggregates,
    receipts,
    sums,
)

__all__ = ["fold_batch", "fold_one", "insert_into", "summed"]


def summed(where: ColumnElement[bool], sign: Any = 1) -> Select[*tuple[Any, ...]]:
    """The rows of ``sums`` that are made of the receipts of a condition.

    Args:
        where: which receipts.
        sign: -1 to take them away.
    """
    r = receipts.c
    # Each receipt once for every dimension: one statement, which is quicker to prepare than seven.
    named = [select(literal(name).label("dimension")) for name in DIMENSIONS]
    names = union_all(*named).subquery("dimensions")
    dimension = names.c.dimension
    value = case({name: cast(by, Text) for name, by in DIMENSIONS.items()}, value=dimension)
    cell: list[ColumnElement[Any]] = [
        r.day,
        r.model,
        dimension,
        func.coalesce(value, ""),
        func.coalesce(r.carbon_basis, NO_CARBON),
        func.coalesce(r.currency, ""),
        r.hosted,
    ]
    columns = [column.label(name) for name, column in zip(CELL, cell, strict=True)]
    adds = [(column * sign).label(name) for name, column in aggregates().items()]
    extremes = [column.label(name) for name, column in EXTREMES.items()]
    rows = select(*columns, *adds, *extremes).join_from(receipts, names, true()).where(where)
    # In one order always, so that two writers never wait for each other in a circle.
    return rows.group_by(*columns).order_by(*columns)


def fold_batch(connection: Connection, before: int, batch: int) -> None:
    """Adds the receipts of a transaction to the sums.

    Args:
        connection: of the transaction.
        before: the last id before it.
        batch: its mark.
    """
    _fold(connection, "batch", {"sign": 1, "before": before, "batch": batch})


def fold_one(connection: Connection, request_id: str, sign: int) -> None:
    """Adds one receipt to the sums, or takes it away, if it is there.

    Args:
        connection: of the transaction.
        request_id: which.
        sign: 1 or -1.
    """
    _fold(connection, "one", {"sign": sign, "request_id": request_id})


_WHERE = {
    "batch": (receipts.c.id > bindparam("before")) & (receipts.c.batch == bindparam("batch")),
    "one": receipts.c.request_id == bindparam("request_id"),
}


def _fold(connection: Connection, which: str, given: Mapping[str, Any]) -> None:
    compiled = _compiled(connection.dialect.name, which)
    parameters = compiled.construct_params(dict(given))
    order = compiled.positiontup
    connection.exec_driver_sql(
        str(compiled), tuple(parameters[name] for name in order) if order else parameters
    )


@functools.cache
def _compiled(dialect: str, which: str) -> SQLCompiler:
    """The SQL that adds to the sums; to look up a statement of three hundred expressions among
    those that SQLAlchemy has compiled would take it some milliseconds each time.
    """
    rows = summed(_WHERE[which], bindparam("sign", type_=Integer))
    added = _DIALECTS[dialect].insert(sums).from_select([*CELL, *SUMS, *EXTREMES], rows)
    compiled: SQLCompiler = _or_add(added).compile(dialect=_dialect(dialect))
    return compiled


_DIALECTS: Mapping[str, Any] = {"sqlite": sqlite, "postgresql": postgresql}


def _dialect(name: str) -> Any:
    module: Any = psycopg if name == "postgresql" else sqlite
    return module.dialect()


def insert_into(connection: Connection, table: Any) -> Any:
    """An INSERT that can say what to do where a row is there already."""
    return _DIALECTS[connection.dialect.name].insert(table)


def _or_add(added: Any) -> Insert:
    new, old = added.excluded, sums.c
    changed: dict[str, ColumnElement[Any]] = {name: old[name] + new[name] for name in SUMS}
    changed["first_s"] = case((new.first_s < old.first_s, new.first_s), else_=old.first_s)
    changed["last_s"] = case((new.last_s > old.last_s, new.last_s), else_=old.last_s)
    upsert: Insert = added.on_conflict_do_update(index_elements=list(CELL), set_=changed)
    return upsert
