"""The exporter ``store``: keeps every receipt in a database, once."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select, update
from sqlalchemy.exc import DBAPIError

from inferprint.receipt import Receipt
from inferprint_exporters.store.fold import fold_batch, fold_one, insert_into
from inferprint_exporters.store.opening import of_store, open_store, parse_url
from inferprint_exporters.store.rows import factor_set, rows_of
from inferprint_exporters.store.tables import devices, factor_sets, pending_feedback, receipts

if TYPE_CHECKING:
    from inferprint import Config, Tracker

__all__ = ["StoreExporter"]

# So many values at most in one condition: SQLite before 3.32 takes 999.
AT_ONCE = 500


class StoreExporter:
    """Writes receipts, and what they add up to, to a database; each receipt counts once, however
    often it is delivered, and receipts inside a receipt are rows of their own.

    What can't be written within seconds, because the database is locked, full or gone, is
    raised, so that the tracker counts it as dropped.

    Args:
        url: such as ``sqlite:///receipts.db``; SQLite and PostgreSQL are known.
    """

    name = "store"

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine: Engine | None = None
        self._tracker: Tracker | None = None
        self._devices: set[str] = set()

    @classmethod
    def from_config(cls, config: Config) -> StoreExporter:
        """An exporter that writes to the settings' store.

        Raises:
            ConfigError: there is no ``store_url``, or it is none of a database.
        """
        parse_url(config.store_url, "store_url")
        return cls(config.store_url or "")

    def start(self, tracker: Tracker) -> None:
        """Opens the store, and makes it where there is none.

        Raises:
            ConfigError: it can't be written to, or is of a later version.
        """
        self._tracker = tracker
        self._open()

    def export(self, receipts: Sequence[Receipt]) -> None:
        """Keeps receipts; those that are kept already are left as they are.

        Raises:
            InferprintError: they could not be written; none of them is kept.
        """
        with self._writing() as connection:
            rows = _merged(receipts)
            _add(connection, rows, receipts)
            self._note_devices(connection)

    def feedback(self, request_id: str, useful: bool) -> None:
        """Keeps whether a request was of use; its receipt may come later.

        Raises:
            InferprintError: it could not be written.
        """
        with self._writing() as connection:
            row = {"request_id": request_id, "useful": useful}
            told = insert_into(connection, pending_feedback).values(**row)
            told = told.on_conflict_do_update(
                index_elements=["request_id"], set_={"useful": useful}
            )
            connection.execute(told)
            _change(connection, request_id, {"useful": useful})
            _forget_told(connection, receipts.c.request_id == request_id)

    def close(self) -> None:
        """Lets go of the store."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _open(self) -> Engine:
        # After a start that failed, too: what was wrong may be mended by now.
        if self._engine is None:
            self._engine = open_store(self.url, create=True)
        return self._engine

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        engine = self._open()
        try:
            with engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise of_store(error, engine) from error

    def _note_devices(self, connection: Connection) -> None:
        if self._tracker is None:
            return
        host = platform.node()
        found = self._tracker.balance().devices
        for name in found.keys() - self._devices:
            key = {"host": host, "device": name}
            row = key | {"component": found[name].component, "name": found[name].name}
            connection.execute(
                insert_into(connection, devices).values(**row).on_conflict_do_nothing()
            )
        self._devices = set(found)


def _merged(receipts: Sequence[Receipt]) -> dict[str, dict[str, Any]]:
    """Rows by request; one that comes alone and inside another has the other as its parent."""
    rows: dict[str, dict[str, Any]] = {}
    for receipt in receipts:
        for row in rows_of(receipt):
            known = rows.setdefault(row["request_id"], row)
            known["parent_id"] = known["parent_id"] or row["parent_id"]
    return rows


def _add(connection: Connection, rows: dict[str, dict[str, Any]], given: Sequence[Receipt]) -> None:
    """Adds those rows that are new, and their sums."""
    r = receipts.c
    before = connection.scalar(select(func.coalesce(func.max(r.id), 0))) or 0
    batch = secrets.randbits(62)
    for row in rows.values():
        row["batch"] = batch
    sets = dict(factor_set(receipt.factors) for receipt in _family(given))
    # In order, so that two writers of the same never wait for each other in a circle.
    kept = [{"factor_set": key, "factors": text} for key, text in sorted(sets.items())]
    for table, new in ((factor_sets, kept), (receipts, [rows[key] for key in sorted(rows)])):
        if new:
            connection.execute(insert_into(connection, table).on_conflict_do_nothing(), new)
    mine = (r.id > before) & (r.batch == batch)
    _apply_told(connection, mine)
    fold_batch(connection, before, batch)
    _link(connection, rows, batch)


def _family(receipts: Sequence[Receipt]) -> Iterator[Receipt]:
    for receipt in receipts:
        yield receipt
        yield from _family(receipt.children)


def _apply_told(connection: Connection, mine: ColumnElement[bool]) -> None:
    """Feedback that came before its receipt."""
    if connection.scalar(select(pending_feedback.c.request_id).limit(1)) is None:
        return
    told = pending_feedback.c
    useful = select(told.useful).where(told.request_id == receipts.c.request_id)
    known = receipts.c.request_id.in_(select(told.request_id))
    connection.execute(update(receipts).where(mine, known).values(useful=useful.scalar_subquery()))
    _forget_told(connection, mine)


def _forget_told(connection: Connection, applied: ColumnElement[bool]) -> None:
    done = select(receipts.c.request_id).where(applied)
    connection.execute(delete(pending_feedback).where(pending_feedback.c.request_id.in_(done)))


def _link(connection: Connection, rows: dict[str, dict[str, Any]], batch: int) -> None:
    """Tells rows of earlier batches whose children they turn out to be."""
    r = receipts.c
    children = [row["request_id"] for row in rows.values() if row["parent_id"] is not None]
    for start in range(0, len(children), AT_ONCE):
        named = r.request_id.in_(children[start : start + AT_ONCE])
        loose = select(r.request_id).where(named, r.parent_id.is_(None), r.batch != batch)
        for child in connection.scalars(loose).all():
            _change(connection, child, {"parent_id": rows[child]["parent_id"]})


def _change(connection: Connection, request_id: str, values: dict[str, Any]) -> None:
    """Changes a row, if it is there, and its sums with it."""
    fold_one(connection, request_id, -1)
    named = receipts.c.request_id == request_id
    connection.execute(update(receipts).where(named).values(**values))
    fold_one(connection, request_id, 1)
