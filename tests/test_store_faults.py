"""Stores that can't be used: said clearly, nothing lost without being counted."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inferprint import Config, ConfigError, InferprintError, Tracker
from inferprint.cli import main
from inferprint_exporters.store import StoreExporter, opening
from receipts import receipt
from stores import reported, stored, url_of
from support import run_python


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another process is in the middle of a write."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.close()


def change(url: str, sql: str) -> None:
    """Changes a store's file."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    with connection:
        connection.execute(sql)
    connection.close()


@pytest.mark.parametrize(
    "url",
    ["", "receipts.db", "sqlite://", "sqlite:///:memory:", "mysql://host/db", "nonsense://x", "::"],
)
def test_a_url_that_is_none_of_a_store_is_refused(url: str) -> None:
    """When the tracker is made, with what would be right."""
    with pytest.raises(ConfigError, match=r"sqlite:///receipts\.db") as caught:
        Tracker(Config(exporters=("store",), store_url=url or None), sources=[])
    assert caught.value.field == "store_url"


def test_a_password_is_not_told() -> None:
    """Neither in the error nor anywhere in its text."""
    with pytest.raises(ConfigError) as caught:
        opening.open_store("mysql://someone:secret@host/db", create=True)
    assert "secret" not in str(caught.value)


def test_a_folder_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    """By the start of the tracker, which names the store."""
    url = url_of(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="can be written to") as caught:
        Tracker(Config(exporters=("store",), store_url=url), sources=[]).start()
    assert caught.value.given == url


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("UPDATE inferprint_store SET version = 99", "it is of version 99. pip install --upgrade"),
        ("DROP TABLE inferprint_store", "other tables of the name"),
    ],
)
def test_a_store_of_another_version_is_refused(tmp_path: Path, spoil: str, said: str) -> None:
    """With what to do, and it is left as it was."""
    url = stored(tmp_path, [receipt()])
    change(url, spoil)
    before = (tmp_path / "receipts.db").read_bytes()
    with pytest.raises(ConfigError, match=said):
        stored(tmp_path, [receipt(request_id="new")])
    assert (tmp_path / "receipts.db").read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """For writing and for reading, and left as it was."""
    file = tmp_path / "receipts.db"
    file.write_text("not a database, but of some length" * 100)
    for create in (True, False):
        with pytest.raises(ConfigError, match="file is not a database"):
            opening.open_store(url_of(tmp_path), create=create)
    assert file.read_text().startswith("not a database")


def test_a_store_that_may_only_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    """And can be reported."""
    stored(tmp_path, [receipt()])
    url = f"sqlite:///file:{tmp_path / 'receipts.db'}?mode=ro&uri=true"
    with pytest.raises(ConfigError, match="readonly"):
        opening.open_store(url, create=True)
    assert reported(url)["requests"] == 1


def test_a_corrupt_store_says_so(tmp_path: Path) -> None:
    """Whoever reads or writes it: no figure comes of it."""
    url = stored(tmp_path, [receipt(request_id=str(i)) for i in range(2000)])
    file = tmp_path / "receipts.db"
    data = bytearray(file.read_bytes())
    data[8192:-4096] = os.urandom(len(data) - 12288)
    file.write_bytes(bytes(data))
    with pytest.raises(InferprintError, match=r"receipts\.db.*malformed|corrupt"):
        reported_or_raise(url)
    with pytest.raises(InferprintError):
        stored(tmp_path, [receipt(request_id="new")])


def reported_or_raise(url: str) -> None:
    """Reports, and lets its error through."""
    from inferprint_exporters.report import _found
    from inferprint_exporters.report.question import Question

    _found(url, Question())


def test_a_store_that_is_locked_for_a_moment_loses_nothing(tmp_path: Path) -> None:
    """The write waits for it."""
    url = stored(tmp_path, [receipt()])
    exporter = StoreExporter(url)
    with locked(url):
        writer = threading.Thread(target=exporter.export, args=([receipt(request_id="late")],))
        writer.start()
        time.sleep(0.2)
        assert writer.is_alive()
    writer.join(10)
    exporter.close()
    assert reported(url)["requests"] == 2


def test_a_store_that_stays_locked_costs_its_receipts_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted as dropped by the tracker; those after it are kept."""
    monkeypatch.setattr(opening, "BUSY_S", 0.1)
    url = url_of(tmp_path)
    config = Config(exporters=("store",), store_url=url)
    with Tracker(config, sources=[]) as tracker:
        with locked(url):
            with tracker.request("lost"):
                pass
            assert tracker.flush(timeout=20.0)
            assert tracker.status().dropped_receipts == {"store": 1}
        with tracker.request("kept"):
            pass
        assert tracker.flush(timeout=20.0)
    assert list(reported(url)["models"]) == ["kept"]


def test_a_store_that_is_full_costs_whole_batches(tmp_path: Path) -> None:
    """Nothing of a batch that could not be written is there, nor in the sums."""
    url = stored(tmp_path, [receipt()])
    exporter = StoreExporter(f"{url}?isolation_level=")
    engine = exporter._open()
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def small(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 60")

    many = [receipt(f"model {i}", request_id=f"more-{i}") for i in range(2000)]
    with pytest.raises(InferprintError, match="full"):
        exporter.export(many)
    exporter.close()
    assert reported(url)["requests"] == 1
    assert stored(tmp_path, many) == url
    assert reported(url)["requests"] == 2001


def test_what_was_wrong_at_the_start_may_be_mended(tmp_path: Path) -> None:
    """A tracker that a request has started goes on trying: its store may come later."""
    folder = tmp_path / "later"
    exporter = StoreExporter(url_of(folder))
    with pytest.raises(ConfigError):
        exporter.export([receipt()])
    folder.mkdir()
    exporter.export([receipt()])
    exporter.close()
    assert reported(exporter.url)["requests"] == 1


@pytest.mark.parametrize("options", [[], ["--store", "sqlite:///nowhere.db"]])
def test_a_report_of_no_store_makes_none(
    tmp_path: Path,
    options: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wrong usage, with what to do; and no empty file is left."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", *options]) == 2
    assert "exporter 'store'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


FORKED = """
import os, sys
from inferprint import Config, Tracker
config = Config(exporters=("store",), store_url=sys.argv[1])
with Tracker(config, sources=[]) as tracker:
    with tracker.request("parent"):
        pass
    tracker.flush(20)
    child = os.fork()
    with tracker.request("child" if child == 0 else "parent"):
        pass
    assert tracker.flush(20)
    if child == 0:
        tracker.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_the_child_of_a_fork_writes_the_same_store(tmp_path: Path) -> None:
    """Each process has a connection of its own."""
    script = tmp_path / "fork.py"
    script.write_text(FORKED)
    path = {"PYTHONPATH": ":".join(__import__("sys").path)}
    done = run_python("-W", "ignore::DeprecationWarning", script, url_of(tmp_path), env=path)
    assert (done.returncode, done.stderr) == (0, "")
    models = reported(url_of(tmp_path))["models"]
    assert {name: block["requests"] for name, block in models.items()} == {"child": 1, "parent": 2}
