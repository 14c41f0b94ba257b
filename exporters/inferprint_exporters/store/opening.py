"""Opens a store: the database of a URL, with the tables of this version in it."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from inferprint.errors import ConfigError, InferprintError
from inferprint_exporters.store.tables import METADATA, VERSION, store

__all__ = ["BUSY_S", "of_store", "open_store", "parse_url"]

BUSY_S = 5.0
"""How long a write waits for another process that is writing."""

EXPECTED = "a database URL such as 'sqlite:///receipts.db' or 'postgresql://user@host/receipts'"
DIALECTS = ("sqlite", "postgresql")


def open_store(text: str | None, *, create: bool, field: str = "store_url") -> Engine:
    """The database of a URL.

    Each use of it opens a connection of its own, so that none is left open over a fork.

    Args:
        text: the URL.
        create: whether to make the tables where there are none; else nothing is written.
        field: the setting or option that the URL comes from, for errors.

    Raises:
        ConfigError: it is no URL of a database that can be used, has no store, or one of a
            later version.
    """
    url = parse_url(text, field)
    shown = url.render_as_string(hide_password=True)
    if not create:
        _is_there(url, field, shown)
    try:
        engine = _engine(url, writing=create)
        try:
            _prepare(engine, create, field, shown)
        except IntegrityError:  # another process has made the tables in the meantime
            _prepare(engine, create, field, shown)
    except (DBAPIError, ImportError) as error:
        raise _unusable(error, field, shown, create) from error
    return engine


def of_store(error: DBAPIError, engine: Engine) -> InferprintError:
    """What a fault of the database means."""
    shown = engine.url.render_as_string(hide_password=True)
    return InferprintError(f"the store {shown}: {error.orig}")


def parse_url(text: str | None, field: str) -> URL:
    """A URL of a database that can hold a store.

    Raises:
        ConfigError: it is none.
    """
    try:
        url = make_url(text or "")
        dialect = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        raise ConfigError(field, text, EXPECTED) from None
    in_memory = dialect == "sqlite" and (url.database or ":memory:") == ":memory:"
    if dialect not in DIALECTS or in_memory:
        raise ConfigError(field, url.render_as_string(hide_password=True), EXPECTED)
    return url


def _is_there(url: URL, field: str, shown: str) -> None:
    """SQLite would make an empty file."""
    path = url.database or ""
    if url.get_backend_name() == "sqlite" and "uri" not in url.query and not os.path.isfile(path):
        mend = "The exporter 'store' makes it: INFERPRINT_EXPORTERS=store."
        raise ConfigError(field, shown, "a store that is there", mend)


def _engine(url: URL, writing: bool) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    if not sqlite:  # whichever driver a version of SQLAlchemy takes by itself
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(
        url, poolclass=NullPool, connect_args={"timeout": BUSY_S} if sqlite else {}
    )
    if sqlite:
        # By itself sqlite3 begins when something is written: two that have read by then
        # each wait for the other, and SQLite fails one of them at once.
        @event.listens_for(engine, "connect")
        def leave_transactions_to_us(connection: Any, _record: object) -> None:
            connection.isolation_level = None

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _prepare(engine: Engine, create: bool, field: str, shown: str) -> None:
    with engine.begin() as connection:
        _make_or_check(connection, create, field, shown)


def _make_or_check(connection: Connection, create: bool, field: str, shown: str) -> None:
    there = set(inspect(connection).get_table_names())
    if store.name in there:
        _check_version(connection, field, shown)
        if create:  # to see now whether it may be written to
            connection.execute(update(store).values(version=VERSION))
    elif not create:
        mend = "The exporter 'store' makes it: INFERPRINT_EXPORTERS=store."
        raise ConfigError(field, shown, "a database that has a store in it", mend)
    elif taken := sorted(there & set(METADATA.tables)):
        expected = f"a database without other tables of the name {taken[0]!r}"
        raise ConfigError(field, shown, expected)
    else:
        METADATA.create_all(connection)
        connection.execute(insert(store).values(id=1, version=VERSION))


def _check_version(connection: Connection, field: str, shown: str) -> None:
    version = connection.scalar(select(store.c.version))
    if version != VERSION:
        expected = f"a store of version {VERSION}, and it is of version {version}"
        raise ConfigError(field, shown, expected, "pip install --upgrade inferprint")


def _unusable(error: Exception, field: str, shown: str, create: bool) -> ConfigError:
    cause = getattr(error, "orig", error)
    if isinstance(error, ImportError):
        return ConfigError(field, shown, f"a database whose driver is installed ({cause})")
    can = "written to" if create else "read"
    return ConfigError(field, shown, f"a database that can be {can} ({cause})")
