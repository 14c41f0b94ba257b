"""A real PostgreSQL on a Unix socket in a temporary folder, for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from support import missing, require_module

INSTALL = "apt-get install postgresql"
BINARIES = Path("/usr/lib/postgresql")


class Postgres:
    """A running server.

    Args:
        folder: has its data and its socket.
        bin_folder: has its programs.
    """

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder = folder
        self._bin = bin_folder
        self._names = count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str = "") -> str:
        """The URL of a database, of a new one if none is named."""
        if not name:
            name = f"d{next(self._names)}"
            with self.connect("postgres") as connection:
                connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://tester@/{name}?host={self.folder}"

    def connect(self, name: str) -> Any:
        """A connection to a database, each statement for itself."""
        psycopg = require_module("psycopg", "pip install 'psycopg[binary]'")
        return psycopg.connect(
            dbname=name, user="tester", host=str(self.folder), autocommit=True, connect_timeout=10
        )

    def rows(self, url: str, sql: str) -> list[Any]:
        """What a query gives."""
        with self.connect(url.partition("@/")[2].partition("?")[0]) as connection:
            done = connection.execute(sql)
            found: list[Any] = done.fetchall() if done.description else []
            return found

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command = [str(self._bin / "postgres"), "-D", str(self.folder / "data"), "-F"]
        command += ["-c", "listen_addresses=", "-k", str(self.folder)]
        log = self.folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, **_user())
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Stops it at once, as a crash does: what was committed is there at the next start."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: immediate shutdown
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        psycopg = require_module("psycopg", "pip install 'psycopg[binary]'")
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Starts a server of its own; stops and removes it at the end."""
    bin_folder = _bin_folder()
    folder = Path(tempfile.mkdtemp(prefix="inferprint-postgres-"))
    server = Postgres(folder, bin_folder)
    try:
        if owner := _user().get("user"):
            shutil.chown(folder, owner)
        options = ["-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        _run([str(bin_folder / "initdb"), "-D", str(folder / "data"), *options])
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _bin_folder() -> Path:
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return Path(named).resolve().parent if named else missing("PostgreSQL", INSTALL)


def _user() -> dict[str, Any]:
    """It does not run as root: as the user of its package, then."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if not os.geteuid() else {}


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, cwd="/", check=False, timeout=120, **_user()
    )
    assert done.returncode == 0, done.stderr
