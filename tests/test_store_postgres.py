"""The store on a real PostgreSQL: the same receipts, sums and reports as in a file."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inferprint import Config, ConfigError, InferprintError, Tracker
from inferprint.testing import FakeClock, FakeSource
from inferprint_exporters.store import StoreExporter
from postgres_server import Postgres, postgres
from receipts import receipt
from stores import day_of_load, reported, stored, url_of
from support import require_module, run_python
from test_store import EXPORT, check_sums, full

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One server for all tests; each has a database of its own."""
    require_module("psycopg", "pip install 'inferprint[postgres]'")
    with postgres() as running:
        yield running


def export(url: str, *names: str) -> None:
    """Adds receipts of these ids."""
    exporter = StoreExporter(url)
    exporter.export([full(name) for name in names])
    exporter.close()


def test_a_day_is_reported_as_from_a_file(server: Postgres, tmp_path: Path) -> None:
    """A day of load, stored by the exporter of a tracker: every figure of the report."""
    url = server.url()
    receipts = day_of_load(url)
    check_sums(url)
    found, expected = reported(url), reported(stored(tmp_path, receipts))
    for report in (found, expected):
        del report["made"]  # when it was
        report.pop("devices", None)  # the file was written without a tracker
    assert found == _approximately(expected)


def _approximately(value: object) -> object:
    """Figures that were added in another order differ by their last digits."""
    if isinstance(value, dict):
        return {key: _approximately(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_approximately(item) for item in value]
    return pytest.approx(value, rel=1e-9) if isinstance(value, float) else value


def test_receipts_of_a_label_are_found(server: Postgres) -> None:
    """By a label with a column of its own, and by one without."""
    url = server.url()
    exporter = StoreExporter(url)
    labels = {"serve_request_id": "a", "route": "/x"}
    exporter.export([receipt(request_id=name, labels=labels) for name in ("one", "two")])
    exporter.export([receipt(request_id="three", labels={"serve_request_id": "A"}), receipt()])
    exporter.close()
    assert reported(url, "--label", "serve_request_id=a", "--label", "route=/x")["requests"] == 2
    assert reported(url, "--label", "serve_request_id=A")["requests"] == 1


def test_what_is_not_known_is_null(server: Postgres) -> None:
    """And never 0."""
    url = server.url()
    exporter = StoreExporter(url)
    exporter.export([receipt()])
    exporter.close()
    found = server.rows(url, "SELECT energy_j, carbon_g, cost, input_tokens, useful FROM receipts")
    assert found == [(None,) * 5]
    assert reported(url)["energy_j"] is None


def test_a_receipt_that_is_delivered_twice_counts_once(server: Postgres) -> None:
    """In one batch, in two and by another exporter."""
    url = server.url()
    export(url, "one", "one")
    export(url, "one", "two")
    assert server.rows(url, "SELECT request_id FROM receipts ORDER BY 1") == [("one",), ("two",)]
    check_sums(url)


def test_feedback_counts_whenever_it_comes(server: Postgres) -> None:
    """Before its receipt or after; and it may be taken back."""
    exporter = StoreExporter(server.url())
    exporter.feedback("early", useful=False)
    exporter.export([full("early"), full("late"), full("good")])
    exporter.feedback("late", useful=False)
    assert reported(exporter.url)["wasted"]["requests"] == 2
    check_sums(exporter.url)
    exporter.feedback("late", useful=True)
    assert reported(exporter.url)["wasted"]["requests"] == 1
    check_sums(exporter.url)
    exporter.close()


def test_names_that_databases_choke_on_are_kept(server: Postgres) -> None:
    """Half a surrogate pair, which JSON can carry, and a NUL."""
    url = server.url()
    exporter = StoreExporter(url)
    exporter.export([full("x", model="a\ud800b\0c", labels={"tenant": "\udfff"})])
    exporter.close()
    assert list(reported(url)["models"]) == ["a?b\N{REPLACEMENT CHARACTER}c"]


def test_several_hosts_write_one_store(server: Postgres, tmp_path: Path) -> None:
    """Begun at the same time on no store at all, they make one; nothing is lost or doubled, and
    none waits for another for ever.
    """
    url, script = server.url(), tmp_path / "write.py"
    script.write_text(EXPORT)
    path = {"PYTHONPATH": ":".join(__import__("sys").path)}
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda i: run_python(script, str(i), url, env=path), range(4)))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 4
    assert reported(url)["requests"] == 4 * 20 + 20
    check_sums(url)


def test_a_server_that_is_gone_for_a_while_costs_no_request(server: Postgres) -> None:
    """What it could not take is counted as dropped; when it is back, receipts are kept again."""
    url, clock = server.url(), FakeClock()
    config = Config(exporters=("store",), store_url=url)
    source = FakeSource(clock, watts=100.0)
    with Tracker(config, sources=[source], clock=clock) as tracker:

        def serve(model: str) -> None:
            with tracker.request(model):
                clock.advance(1.0)
            tracker.flush()

        serve("before")
        server.stop()
        serve("meanwhile")
        assert tracker.status().dropped_receipts == {"store": 1}
        server.start()
        serve("after")
    assert list(reported(url)["models"]) == ["after", "before"]
    check_sums(url)


def test_a_server_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    """With its address, and without the password."""
    require_module("psycopg", "pip install 'inferprint[postgres]'")
    url = f"postgresql://someone:secret@/receipts?host={tmp_path}"
    with pytest.raises(ConfigError, match="can be written to") as caught:
        StoreExporter(url).start(Tracker(sources=[]))
    assert "secret" not in str(caught.value)


def test_a_user_without_rights_is_told_so(server: Postgres) -> None:
    """At the start, by what the server says."""
    url = server.url()
    server.rows(url, "CREATE ROLE reader LOGIN")
    export(url, "one")
    server.rows(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    limited = url.replace("tester@", "reader@")
    assert reported(limited)["requests"] == 1
    with pytest.raises(InferprintError, match="permission denied"):
        export(limited, "two")


def test_the_file_and_the_server_keep_the_same_columns(server: Postgres, tmp_path: Path) -> None:
    """So that what reads the one reads the other."""
    url = server.url()
    export(url, "one")
    listed = "SELECT table_name, column_name FROM information_schema.columns"
    own = server.rows(url, f"{listed} WHERE table_schema = 'public'")
    stored(tmp_path, [full("one")])
    from sqlalchemy import create_engine, inspect

    engine = create_engine(url_of(tmp_path))
    tables = inspect(engine)
    names = tables.get_table_names()
    kept = {(name, column["name"]) for name in names for column in tables.get_columns(name)}
    engine.dispose()
    assert set(own) == kept
