"""The exporter behind the live page: what it keeps, what it tells, and that it leaves nothing."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given

from fake_tracker import FakeTracker, gpu_books, grid_intensity
from inferprint import Config, ConfigError, InferprintError, Range, Receipt, Tracker
from inferprint.impacts import Cost
from inferprint.records import Tokens
from inferprint_exporters.live import LiveExporter, live_app
from inferprint_exporters.live.app import events, page_app
from inferprint_exporters.live.books import History
from inferprint_exporters.live.rows import MOST_NAME, row_of
from inferprint_exporters.live.tally import Tally
from receipts import component, receipt
from rig import Kept, SteadySource, by_hand, live
from strategies import receipts_of_any_kind
from support import REPO, run_python
from test_fork import run as run_forked

HOST = "127.0.0.1"


def joules(number: float = 100.0, **more: Any) -> Receipt:
    return receipt(parts={"gpu": component(number)}, **more)


@contextmanager
def started(listen: tuple[str, int] | None = None, **options: Any) -> Iterator[LiveExporter]:
    """An exporter of a fake tracker."""
    exporter = LiveExporter(listen=listen, **options)
    tracker: Any = FakeTracker()
    tracker.devices = {"GPU-1": gpu_books()}
    exporter.start(tracker)
    try:
        yield exporter
    finally:
        exporter.close()


def client(exporter: LiveExporter, host: str = "localhost", **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=page_app(exporter, **options))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


# ---- rows and sums ---------------------------------------------------------------------------


@given(one=receipts_of_any_kind())
def test_any_receipt_has_a_row_that_is_json(one: Receipt) -> None:
    """A figure is null if and only if it is not known, and the middle is the receipt's."""
    row = json.loads(json.dumps(row_of(one, 7), allow_nan=False))
    figures = {"total": one.energy.total_j, "active": one.energy.active_j, "carbon": one.carbon}
    for name, figure in figures.items():
        assert (row[name] is None) == (figure is None)
        if figure is not None:
            assert row[name][1] == pytest.approx(figure.mid, rel=1e-8)
    assert row["n"] == 7


def test_a_figure_that_is_no_number_is_unknown() -> None:
    """It would break the page's JSON, and is not 0."""
    odd = replace(joules(), cost=Cost(0.0, math.nan, math.inf, currency="EUR"))
    assert row_of(odd, 1)["cost"] is None


def test_a_long_name_is_shortened_in_the_row() -> None:
    """10 kB of a name do not go to every page; the receipt has them."""
    row = row_of(joules(model="m" * 10_000), 1)
    assert len(row["model"]) == MOST_NAME + 1


def test_sums_are_of_what_is_known_and_say_of_how_many() -> None:
    """Unknown energy is not added as 0, and currencies stay apart."""
    tally = Tally()
    tally.add(joules(10.0, cost=Cost(1, 2, 3, currency="EUR"), tokens=Tokens(output=5)))
    tally.add(joules(20.0, cost=Cost(1, 2, 3, currency="USD"), model="other"))
    tally.add(receipt(outcome="error"))
    whole = tally.plain()["all"]
    assert whole["sums"]["total"] == [30.0, 30.0, 30.0]
    assert (whole["requests"], whole["known"]["total"], whole["output_tokens"]) == (3, 2, 5)
    assert whole["sums"]["cost EUR"] == whole["sums"]["cost USD"] == [1.0, 2.0, 3.0]
    assert whole["outcomes"] == {"ok": 2, "error": 1}
    assert whole["provenances"] == {"measured": 2, "unknown": 1}
    assert [line["model"] for line in tally.plain()["models"]] == ["other", "llama-3-8b"]


def test_a_hosted_call_is_in_its_models_line_and_not_in_the_whole() -> None:
    """What was guessed of another's machine is not added to what this one used."""
    tally = Tally()
    tally.add(joules(10.0))
    tally.add(replace(joules(1000.0), flags=frozenset({"hosted"})))
    found = tally.plain()
    assert found["all"]["sums"]["total"] == [10.0, 10.0, 10.0]
    assert [(line["hosted"], line["sums"]["total"][1]) for line in found["models"]] == [
        (True, 1000.0),
        (False, 10.0),
    ]


def test_models_past_the_cap_share_a_line() -> None:
    """So that names made up by clients do not fill the memory."""
    tally = Tally(most_models=3)
    for number in range(1000):
        tally.add(joules(1.0, model=f"m{number}"))
    found = tally.plain()["models"]
    assert len(found) == 4
    assert (found[0]["model"], found[0]["requests"]) == ("other models", 997)


def test_the_history_is_bounded_and_tells_since_when_a_device_is_silent() -> None:
    """Samples have the factors of their time; a device whose joules stand still is silent."""
    history = History()
    tracker = FakeTracker()
    tracker.factors = grid_intensity()
    for second in range(700):
        tracker.devices = {"still": gpu_books(1.0), "busy": gpu_books(1.0 + second)}
        sample = history.add(float(second), tracker.balance(), tracker.factors)
    assert len(history.samples) == 600
    assert sample == [699.0, 420.6, 70.1, 70.1, None, pytest.approx(56.039 / 3.6e6), None]
    assert (history.silent_s("still", 699.0), history.silent_s("busy", 699.0)) == (699.0, 0.0)


# ---- what is kept ----------------------------------------------------------------------------


def test_the_latest_receipts_are_kept_and_no_more() -> None:
    """The oldest go first; numbers go on, and one that went is not another's."""
    with started(most_receipts=10) as exporter:
        exporter.export([joules(request_id=f"r{number}") for number in range(1, 26)])
        last, rows = exporter.rows_after(0, 100)
        assert (last, [json.loads(row)["n"] for row in rows]) == (25, list(range(16, 26)))
        assert exporter.rows_after(25, 100) == (25, [])
        assert exporter.rows_after(20, 2)[0] == 22
        assert exporter.receipt(15) is exporter.receipt(26) is exporter.receipt(0) is None
        kept = exporter.receipt(16)
        assert kept is not None
        assert kept.request_id == "r16"


def test_the_books_are_read_once_a_second_however_many_pages_ask() -> None:
    """A hundred pages cost what one costs."""
    with started() as exporter:
        found = {exporter.state() for _ in range(100)}
        assert len(found) == 1
        state = json.loads(found.pop())
        assert state["devices"][0]["id"] == "GPU-1"
        assert state["closure_error"] == 0.0
        assert len(exporter._history.samples) == 1


def test_after_a_fork_the_child_begins_anew() -> None:
    """It has another id, so that a page does not mix the two, and no receipt of the parent's."""
    exporter = LiveExporter()
    exporter.export([joules()])
    before = exporter.id
    exporter.after_fork()
    assert exporter.id != before
    assert exporter.rows_after(0, 10) == (0, [])


# ---- the stream ------------------------------------------------------------------------------


async def read(exporter: LiveExporter, last: int, wanted: int) -> list[tuple[str, str, Any]]:
    """The first events of a stream: name, id, data."""
    found = []
    stream = events(exporter, last)
    async for text in stream:
        fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        if "data" in fields:
            data = json.loads(fields["data"])
            found.append((fields["event"], fields.get("id", ""), data))
        if len(found) == wanted:
            break
    await stream.aclose()  # type: ignore[attr-defined]
    return found


async def test_a_stream_says_who_it_is_then_what_was_then_what_comes() -> None:
    """Hello, the past, the rows that the page has not, the state; each event one line of JSON."""
    with started() as exporter:
        exporter.export([joules(request_id=f"r{number}") for number in range(3)])
        names = await read(exporter, 1, 4)
        assert [name for name, _, _ in names] == ["hello", "past", "receipts", "state"]
        hello, rows = names[0][2], names[2]
        assert hello["server"] == exporter.id
        assert "provisional" in hello["flags"]
        assert rows[1] == f"{exporter.id}-3"
        assert [row["n"] for row in rows[2]] == [2, 3]


async def test_a_page_that_opens_late_gets_rows_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part has a bounded size, and parts follow each other at once."""
    monkeypatch.setattr("inferprint_exporters.live.app.MOST_ROWS", 4)
    with started() as exporter:
        exporter.export([joules() for _ in range(10)])
        found = [event for event in await read(exporter, 0, 6) if event[0] == "receipts"]
        assert [len(rows) for _, _, rows in found] == [4, 4, 2]


async def test_a_stream_ends_when_the_tracker_stops() -> None:
    """So that a server can stop too."""
    with started() as exporter:
        stream = events(exporter, 0)
        async for text in stream:
            if text.startswith("event: state"):
                exporter.close()
        assert exporter.closed


# ---- the application -------------------------------------------------------------------------


async def test_the_page_allows_no_script_but_its_own() -> None:
    """A strict policy, no sniffing, no framing by others, on every answer."""
    with started() as exporter:
        async with client(exporter) as asked:
            for path in ("/", "/static/page.js", "/static/badge.js", "/receipts/x/1", "/nothing"):
                headers = (await asked.get(path)).headers
                policy = headers["content-security-policy"]
                assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
                assert "unsafe" not in policy
                assert headers["x-content-type-options"] == "nosniff"


async def test_a_receipt_is_given_whole_and_only_by_its_own_server() -> None:
    """Every field of it; 404 for a number that is not kept, and for another server's."""
    with started() as exporter:
        odd = replace(joules(), carbon=None, energy=replace(joules().energy, overhead_j=None))
        exporter.export([odd])
        async with client(exporter) as asked:
            reply = await asked.get(f"/receipts/{exporter.id}/1")
            assert reply.json() == odd.to_dict()
            assert (await asked.get(f"/receipts/{exporter.id}/2")).status_code == 404
            assert (await asked.get("/receipts/another/1")).status_code == 404
            assert (await asked.post("/")).status_code == 405


async def test_a_figure_that_json_has_no_word_for_is_null() -> None:
    """A receipt with an interval without an end can be unfolded."""
    with started() as exporter:
        endless = Range(0.0, 1.0, math.inf)
        exporter.export([replace(joules(), energy=replace(joules().energy, total_j=endless))])
        async with client(exporter) as asked:
            total = (await asked.get(f"/receipts/{exporter.id}/1")).json()["energy"]["total_j"]
        assert total == {"low": 0.0, "mid": 1.0, "high": None}


async def test_a_name_that_is_not_this_machines_is_refused() -> None:
    """A page of elsewhere whose name resolves to this machine cannot read receipts."""
    with started() as exporter:
        async with client(exporter, "evil.example", hosts=("localhost",)) as asked:
            assert (await asked.get("/")).status_code == 400
        async with client(exporter, "localhost:9465", hosts=("localhost",)) as asked:
            assert (await asked.get("/")).status_code == 200


async def test_it_can_be_mounted_below_a_path() -> None:
    """In anybody's application; without the slash at the end it is found too."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    with by_hand() as rig:
        app = Starlette(routes=[Mount("/energy", live_app(rig.tracker))])
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as asked:
            reply = await asked.get("/energy", follow_redirects=True)
            assert reply.url.path == "/energy/"
            assert (await asked.get("/energy/static/page.js")).status_code == 200


# ---- the tracker's side ----------------------------------------------------------------------


def test_an_exporter_can_be_added_before_and_after_the_start() -> None:
    """It gets what settles from then on."""
    with by_hand() as rig:
        rig.ran()
        rig.receipts()
        late = Kept()
        rig.tracker.add_exporter(late)
        assert late.started
        rig.ran("later")
        rig.receipts()
        assert [one.model for one in late.receipts] == ["later"]
    assert late.closed
    tracker, early = Tracker(Config(), sources=[SteadySource()]), Kept()
    tracker.add_exporter(early)
    assert not early.started
    with tracker:
        assert early.started


def test_an_exporter_that_cannot_be_added_is_refused() -> None:
    """What is none, and to a tracker that was stopped; what can't start says why."""
    with live() as tracker, socket.create_server((HOST, 0)) as taken:
        with pytest.raises(ConfigError, match="exporter="):
            tracker.add_exporter("live")  # type: ignore[arg-type]
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"live_port={port}"):
            tracker.add_exporter(LiveExporter(listen=(HOST, port)))
    with pytest.raises(InferprintError, match="stopped"):
        tracker.add_exporter(Kept())


def test_the_setting_serves_the_page_while_the_tracker_runs() -> None:
    """``exporters=live`` and a port are all; after the stop nothing listens, and no thread, socket
    or file is left.
    """
    config = Config(exporters=("live",), live_port=0)
    with Tracker(config, sources=[SteadySource()]) as tracker:
        (exporter,) = tracker._exporters
        assert isinstance(exporter, LiveExporter)
        url = str(exporter.url)
        with urllib.request.urlopen(url, timeout=5) as reply:
            assert b"inferprint" in reply.read()
        with urllib.request.urlopen(url + "events", timeout=5) as stream:
            assert stream.readline() == b"event: hello\n"
            with tracker.request("m"):
                time.sleep(0.05)
            while not stream.readline().startswith(b"event: receipts"):
                pass
    with pytest.raises(OSError):
        urllib.request.urlopen(url, timeout=1)


def test_a_stop_does_not_wait_for_open_pages() -> None:
    """With a stream open it takes well under the two seconds that an exporter has."""
    with (
        started((HOST, 0)) as exporter,
        urllib.request.urlopen(f"{exporter.url}events", timeout=5) as stream,
    ):
        assert stream.readline()
        began = time.monotonic()
        exporter.close()
        assert time.monotonic() - began < 1.5


def test_an_address_that_is_not_this_machines_is_refused() -> None:
    """The error names the setting."""
    with pytest.raises(ConfigError, match=r"live_host='192\.0\.2\.1'"):
        LiveExporter(listen=("192.0.2.1", 0)).start(FakeTracker())  # type: ignore[arg-type]


def test_without_its_packages_it_names_the_extra() -> None:
    """The exporter and the application: which extra brings them, in one line."""
    for package, script in (
        ("uvicorn", "inferprint.Tracker(inferprint.Config(exporters=('live',)), sources=[])"),
        (
            "starlette",
            "from inferprint_exporters.live import live_app\n"
            "live_app(inferprint.Tracker(sources=[]))",
        ),
    ):
        absent = f"import sys; sys.modules[{package!r}] = None\nimport inferprint\n"
        result = run_python("-c", absent + script)
        assert result.returncode == 1
        assert "pip install 'inferprint[serve]'" in result.stderr.splitlines()[-1]


# ---- the command -----------------------------------------------------------------------------

MODELLED = {"INFERPRINT_SOURCES": "cpu_model"}


@contextmanager
def serving(*args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``inferprint serve`` beside the test, and the address that it prints."""
    command = [sys.executable, "-W", "error", "-m", "inferprint", "serve", "--port", "0", *args]
    pipe = subprocess.PIPE
    env = {**os.environ, **MODELLED}
    with subprocess.Popen(command, env=env, cwd=REPO, stdout=pipe, stderr=pipe, text=True) as run:
        try:
            assert run.stdout is not None
            line = run.stdout.readline()
            assert line.startswith("The page: http://127.0.0.1:"), (line, run.stderr)
            yield run, line.split()[-1]
        finally:
            run.kill()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_end(how: signal.Signals) -> None:
    """Ctrl-C and a service manager end it: exit 0, no traceback."""
    with serving() as (process, url):
        with urllib.request.urlopen(url, timeout=5) as reply:
            assert reply.status == 200
        process.send_signal(how)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_the_demo_has_requests_within_seconds_and_ends_in_time() -> None:
    """With --demo a small model is served: its receipts come, quoted once something is known."""
    with serving("--demo", "--seconds", "4", "--clients", "3") as (process, url):
        rows: list[Any] = []
        with urllib.request.urlopen(url + "events", timeout=10) as stream:
            while len(rows) < 5:
                line = stream.readline()
                if line.startswith(b'data: [{"n"'):
                    rows += json.loads(line[6:])
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert {row["model"] for row in rows} == {"tiny-llm"}
    assert {row["provenance"] for row in rows} == {"modelled"}
    ended = rows[-1]["at"]
    assert abs(ended - datetime.now(UTC).timestamp()) < 60


def test_a_port_that_is_taken_is_an_error() -> None:
    """It exits with 2, and names the setting and the port."""
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run_python("-m", "inferprint", "serve", "--port", port, env=MODELLED)
    assert result.returncode == 2
    assert "live_port=" + port in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("args", [("--port", "70000"), ("--clients", "0"), ("--seconds", "x")])
def test_wrong_usage_is_refused(args: tuple[str, str]) -> None:
    """With exit code 2 and the option's name."""
    result = run_python("-m", "inferprint", "serve", *args)
    assert result.returncode == 2
    assert args[0] in result.stderr


def test_a_forked_worker_has_a_page_of_its_own() -> None:
    """The child's page is at a port of its own with its own requests, the parent's goes on, and
    the child holds nothing of the parent's port.
    """
    run_forked("""
import json, urllib.request
from inferprint import Config
from inferprint_exporters.live import LiveExporter

def first(url):
    with urllib.request.urlopen(url + "events", timeout=10) as stream:
        while not (line := stream.readline()).startswith(b'data: [{"n"'):
            pass
    return json.loads(line[6:])[0]["model"]

given = LiveExporter(listen=("127.0.0.1", 0))
config = Config(exporters=("live",), live_port=0)
tracker = Tracker(config, sources=[SteadySource()], exporters=[given]).start()
named = tracker._exporters[0]
urls = {given.url, named.url}

def child():
    assert given.url is None
    serve(tracker)
    tracker.flush()
    mine = {exporter.url for exporter in tracker._exporters}
    assert len(mine) == 2 and not mine & urls, (mine, urls)
    assert {first(url) for url in mine} == {"m"}
    tracker.stop()

join(fork(child))
with tracker.request("parent"):
    time.sleep(0.1)
assert {first(url) for url in urls} == {"parent"}
tracker.stop()
""")
