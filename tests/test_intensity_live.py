"""Services that answer right, wrongly, late or not at all, through a real server on loopback."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from grid_server import Asked, GridServer, Reply, as_json, electricity_maps, eventually, serving
from inferprint import Config
from inferprint.errors import ConfigError
from inferprint.flags import INTENSITY_STALE
from inferprint.intensity import Constant, Intensity, Known, open_intensity
from inferprint.intensity.electricity_maps import MEND, ElectricityMaps
from inferprint.intensity.feed import Fault
from inferprint.intensity.live import THREAD_NAME, Live, backoff_s
from inferprint.intensity.watttime import G_PER_KWH, WattTime
from inferprint.intensity.watttime import MEND as ACCOUNT_MEND
from inferprint.intensity.web import MOST_BYTES, Web, retry_after_s
from support import run_python

TOKEN = "a-secret-token"
STALE = frozenset({INTENSITY_STALE})
NOON = 1_772_366_400.0
HOUR = 3600.0


class Clock:
    """Wall time that stands still until it is moved."""

    def __init__(self, now_s: float = NOON) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def server() -> Iterator[GridServer]:
    """Answers as Electricity Maps does at noon: 56 g/kWh in France."""
    with serving(lambda asked: electricity_maps(56, NOON)) as found:
        yield found


def feed_of(server: GridServer, timeout_s: float = 5.0) -> ElectricityMaps:
    return ElectricityMaps("FR", TOKEN, server.url, Web("electricity_maps:FR", MEND, timeout_s))


def live_of(
    server: GridServer, clock: Callable[[], float], refresh_s: float = 300.0, **more: Any
) -> Live:
    return Live(feed_of(server), refresh_s, now=clock, **more)


@contextlib.contextmanager
def running(live: Intensity) -> Iterator[Intensity]:
    live.start()
    try:
        yield live
    finally:
        live.close()


def value(known: Known) -> float:
    assert known.factor is not None
    return known.factor.value


BAD: dict[str, Reply] = {
    "refused": Reply(b"no", 401),
    "forbidden": Reply(b"no", 403),
    "limited": Reply(b"", 429, {"Retry-After": "1"}),
    "failing": Reply(b"oops", 500),
    "moved": Reply(b"", 302, {"Location": "http://127.0.0.1:9/"}),
    "no JSON": Reply(b"<html>"),
    "no UTF-8": Reply(b"\xff\xfe\xfa"),
    "too deep": Reply(b"[" * 100_000),
    "too long": Reply(b" " * (MOST_BYTES + 1)),
    "empty": Reply(b""),
    "nothing": Reply(close=True),
    "null": as_json(None),
    "a list": as_json([1]),
    "no value": electricity_maps(56, NOON, carbonIntensity=None),
    "a negative value": electricity_maps(-5, NOON),
    "not a number": Reply(electricity_maps(56, NOON).body.replace(b"56", b"NaN")),
    "no time": electricity_maps(56, NOON, datetime=None),
    "a time to come": electricity_maps(56, NOON + 2 * HOUR),
    "another zone": electricity_maps(56, NOON, zone="DE"),
    "another basis": electricity_maps(56, NOON, emissionFactorType="direct"),
}


def test_an_answer_is_the_intensity_of_its_hour(server: GridServer) -> None:
    """With its source, its zone and what it counts; asked for with the token in a header."""
    clock = Clock(NOON + 600)
    live = live_of(server, clock)
    assert live.over(NOON, NOON) == (None, frozenset())
    assert live.look() is None
    known = live.over(NOON, NOON + 900)
    assert known.flags == frozenset()
    factor = known.factor
    assert factor is not None
    assert (factor.value, factor.unit, factor.source) == (56, "gCO2e/kWh", "Electricity Maps")
    assert (factor.region, factor.basis) == ("FR", "average, location-based, life-cycle")
    assert live.over(NOON - 1, NOON).factor is None
    (asked,) = server.asked
    assert asked.path == "/v3/carbon-intensity/latest"
    assert asked.query == {"zone": "FR", "emissionFactorType": "lifecycle"}
    assert asked.headers["auth-token"] == TOKEN


@pytest.mark.parametrize(
    ("changed", "length_s", "source"),
    [
        ({"temporalGranularity": "5_minutes"}, 300, "Electricity Maps"),
        ({"isEstimated": True}, 3600, "Electricity Maps (estimated)"),
        (
            {"isEstimated": True, "estimationMethod": "TIME_SLICER_AVERAGE"},
            3600,
            "Electricity Maps (estimated: TIME_SLICER_AVERAGE)",
        ),
    ],
)
def test_an_answer_says_what_it_is_of(
    server: GridServer, changed: dict[str, Any], length_s: float, source: str
) -> None:
    """How long it holds, and whether it is an estimate of theirs."""
    server.answer = lambda asked: electricity_maps(56, NOON, **changed)
    (slot,) = feed_of(server).fetch(NOON)
    assert (slot.end_s - slot.start_s, slot.factor.source) == (length_s, source)


def test_an_address_may_name_a_version(server: GridServer) -> None:
    """Which then takes the place of v3."""
    web = Web("electricity_maps:FR", MEND)
    ElectricityMaps("FR", TOKEN, server.url + "/v4/", web).fetch(NOON)
    assert server.asked[-1].path == "/v4/carbon-intensity/latest"


@pytest.mark.parametrize("bad", BAD)
def test_a_service_that_turns_bad_is_survived(
    server: GridServer, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The last value holds, is flagged once it is old, and then a newer one takes its place."""
    caplog.set_level(logging.INFO, "inferprint")
    clock = Clock()
    live = live_of(server, clock)
    assert live.look() is None
    server.answer = lambda asked: BAD[bad]
    for minutes, flags in [(5, frozenset()), (15, frozenset()), (16, STALE), (600, STALE)]:
        clock.now_s = NOON + minutes * 60
        if bad != "a time to come" or minutes < 60:
            assert live.look() is not None
        known = live.over(clock.now_s - 1, clock.now_s)
        assert (value(known), known.flags) == (56, flags)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert TOKEN not in caplog.text
    if bad in ("refused", "forbidden"):
        assert "export INFERPRINT_ELECTRICITY_MAPS_TOKEN=<token>" in warnings[0]
    server.answer = lambda asked: electricity_maps(70, clock.now_s)
    assert live.look() is None
    known = live.over(clock.now_s, clock.now_s + 60)
    assert (value(known), known.flags) == (70, frozenset())
    assert live.over(NOON, NOON + 60).flags == frozenset()
    assert "all is well again" in caplog.text


def test_a_day_without_a_newer_value_makes_it_unknown(server: GridServer) -> None:
    """None then, never the last one for ever, and never 0."""
    live = live_of(server, Clock())
    assert live.look() is None
    day_after = NOON + 900 + 86_400
    assert value(live.over(day_after, day_after)) == 56
    assert live.over(day_after + 1, day_after + 1) == (None, STALE)


def test_a_service_that_repeats_an_old_value_is_flagged(server: GridServer) -> None:
    """It answers, but its data have stopped: that is old an hour past its end."""
    clock = Clock()
    live = live_of(server, clock)
    for hours, flags in [(0, frozenset()), (2, frozenset()), (2.1, STALE)]:
        clock.now_s = NOON + hours * HOUR
        assert live.look() is None
        assert live.over(clock.now_s, clock.now_s).flags == flags


def test_a_slow_service_holds_nobody_up(server: GridServer) -> None:
    """It is given up on after its time; whoever wants a value has the last one at once."""
    clock = Clock()
    live = Live(feed_of(server, timeout_s=0.2), 300.0, now=clock)
    assert live.look() is None
    server.answer = lambda asked: Reply(wait_s=0.6)
    begun = time.monotonic()
    assert live.look() is not None
    assert time.monotonic() - begun < 0.6


def test_nobody_who_wants_a_value_waits(server: GridServer) -> None:
    """A service takes a second to answer; meanwhile a value costs microseconds."""
    live = live_of(server, time.time, refresh_s=1.0)
    server.answer = lambda asked: electricity_maps(56, time.time())
    assert live.look() is None
    server.answer = lambda asked: Reply(wait_s=1.0)
    live._fetched_s = 0.0
    with running(live):
        eventually(lambda: len(server.asked) == 2)
        took_s = []
        for _ in range(1000):
            begun = time.perf_counter()
            assert value(live.over(time.time(), time.time() + 1)) == 56
            took_s.append(time.perf_counter() - begun)
        assert len(server.asked) == 2
    assert sorted(took_s)[500] < 1e-4


def test_the_thread_follows_a_service_through_a_bad_spell(server: GridServer) -> None:
    """It turns bad halfway through: values go on, flagged, and are right again afterwards."""
    server.answer = lambda asked: electricity_maps(56, time.time())

    def now() -> Known:
        return live.over(time.time(), time.time())

    live = live_of(server, time.time, refresh_s=0.05)
    with running(live):
        eventually(
            lambda: now() == live.over(time.time(), time.time()) and now().factor is not None
        )
        assert [t.name for t in threading.enumerate()].count(THREAD_NAME) == 1
        live.start()
        assert [t.name for t in threading.enumerate()].count(THREAD_NAME) == 1
        for bad in ("failing", "no JSON", "nothing", "refused"):
            server.answer = lambda asked, bad=bad: BAD[bad]
            eventually(lambda: now().flags == STALE)
            assert value(now()) == 56
            server.answer = lambda asked: electricity_maps(56, time.time())
            eventually(lambda: now().flags == frozenset())
    asked = len(server.asked)
    time.sleep(0.15)
    assert len(server.asked) == asked
    assert value(now()) == 56


def test_closing_ends_the_thread_and_starting_begins_anew(server: GridServer) -> None:
    """What is known stays known in between."""
    live = live_of(server, Clock(), refresh_s=0.05)
    for times in (1, 2):
        with running(live):
            eventually(lambda times=times: len(server.asked) > times)
        assert THREAD_NAME not in [t.name for t in threading.enumerate()]
        assert value(live.over(NOON, NOON)) == 56
    live.close()


@pytest.mark.parametrize("as_date", [False, True])
def test_a_service_that_asks_for_patience_gets_it(server: GridServer, as_date: bool) -> None:
    """429 with Retry-After, in seconds or as a date: not asked again before that."""

    def limited(asked: Asked) -> Reply:
        wait = formatdate(time.time() + 2, usegmt=True) if as_date else "1"
        return Reply(b"", 429, {"Retry-After": wait})

    server.answer = limited
    with running(live_of(server, time.time, refresh_s=0.05)):
        eventually(lambda: len(server.asked) >= 2)
    first, second = (asked.at_s for asked in server.asked[:2])
    assert second - first >= (0.9 if as_date else 1.0)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("120", 120.0),
        (formatdate(NOON + 60, usegmt=True), 60.0),
        (formatdate(NOON - 60, usegmt=True), 0.0),
        ("-5", 0.0),
        ("inf", 0.0),
        ("nan", 0.0),
        ("soon", 0.0),
        ("", 0.0),
    ],
)
def test_what_retry_after_says(text: str, wait_s: float) -> None:
    """Seconds or a date (RFC 9110, section 10.2.3); what is neither asks for nothing."""
    assert retry_after_s(text, NOON) == wait_s


def test_a_service_that_fails_is_asked_ever_less() -> None:
    """Twice as long each time, from a sixteenth of the interval to four of them."""
    waits = [backoff_s(300.0, failures) for failures in range(1, 12)]
    assert waits[:3] == [18.75, 37.5, 75.0]
    assert waits == sorted(waits)
    assert waits[-1] == waits[6] == 1200.0
    assert backoff_s(300.0, 10**6) == 1200.0


def test_a_host_that_is_not_there_is_survived() -> None:
    """A port that nobody listens on, a name that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        for url in (f"http://127.0.0.1:{free.getsockname()[1]}", "http://no.such.host.invalid"):
            feed = ElectricityMaps("FR", TOKEN, url, Web("x", MEND, 5.0))
            with pytest.raises(Fault, match="ConnectError"):
                feed.fetch(NOON)


# ---- over restarts -----------------------------------------------------------------------


def test_a_restart_has_the_last_value(server: GridServer, tmp_path: Path) -> None:
    """From its file, flagged by its age, and the service is not asked before it is due."""
    clock, path = Clock(), tmp_path / "made" / "cache.json"
    first = live_of(server, clock, cache_path=path)
    assert first.look() is None
    clock.now_s += 200
    second = live_of(server, clock, cache_path=path)
    assert second.over(NOON, clock.now_s) == first.over(NOON, clock.now_s)
    assert value(second.over(clock.now_s, clock.now_s)) == 56
    assert second.over(NOON + 901, NOON + 901).flags == STALE
    with running(second):
        time.sleep(0.1)
        assert len(server.asked) == 1
    clock.now_s += 200
    with running(live_of(server, clock, cache_path=path)):
        eventually(lambda: len(server.asked) == 2)
    assert [file.name for file in path.parent.iterdir()] == ["cache.json"]
    assert TOKEN not in path.read_text()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[1]",
        lambda text: text.replace("electricity_maps:FR", "electricity_maps:DE"),
        lambda text: text.replace("average", "marginal"),
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: re.sub('"value": [0-9.]+', '"value": -1', text),
        lambda text: text.replace('"unit"', '"unti"'),
    ],
)
def test_a_cache_that_cannot_be_used_is_passed_over(
    server: GridServer,
    tmp_path: Path,
    change: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Cut short, of another zone or basis, from a newer version: as if there were none."""
    path = tmp_path / "cache.json"
    assert live_of(server, Clock(), cache_path=path).look() is None
    path.write_text(change(path.read_text()))
    live = live_of(server, Clock(), cache_path=path)
    assert live.over(NOON, NOON).factor is None
    assert caplog.text.count("can't be used") == 1
    assert live.look() is None
    assert value(live_of(server, Clock(), cache_path=path).over(NOON, NOON)) == 56


def test_a_cache_that_cannot_be_written_is_said_once(
    server: GridServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Values are had all the same."""
    (tmp_path / "file").write_text("")
    live = live_of(server, Clock(), cache_path=tmp_path / "file" / "cache.json")
    for _ in range(3):
        assert live.look() is None
    assert value(live.over(NOON, NOON)) == 56
    assert len(caplog.records) == 1


def test_history_is_bounded(server: GridServer, tmp_path: Path) -> None:
    """Two days of it: what is older is forgotten, in memory and on disk."""
    clock, path = Clock(), tmp_path / "cache.json"
    live = live_of(server, clock, cache_path=path)
    server.answer = lambda asked: electricity_maps(56, clock.now_s)
    for hour in range(80):
        clock.now_s = NOON + hour * HOUR
        assert live.look() is None
    assert len(json.loads(path.read_text())["slots"]) == 49
    assert live.over(NOON, NOON).factor is None
    assert value(live.over(NOON + 40 * HOUR, NOON + 79 * HOUR)) == 56


def test_the_child_of_a_fork_asks_for_itself(tmp_path: Path) -> None:
    """Started anew there, it has a thread of its own, though the parent's held its locks."""
    result = run_python("-c", FORK, tmp_path / "grid.json", env={"PYTHONPATH": "tracker"})
    assert (result.returncode, result.stdout) == (0, "300.0\n"), result.stderr


FORK = """
import os, sys, time, warnings
from pathlib import Path
from inferprint.intensity.live import Live
from inferprint.intensity.local_file import LocalFile
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads

file = Path(sys.argv[1])
file.write_text("100")
live = Live(LocalFile(str(file)), 0.02)
live.start()
time.sleep(0.1)
# As a fork finds it that comes while the thread is about to wait.
live._stop._cond.acquire()
child = os.fork()
if child == 0:
    live.start()
    file.write_text("300.0")
    until = time.monotonic() + 10
    while (known := live.over(time.time(), time.time())).factor.value != 300:
        assert time.monotonic() < until
        time.sleep(0.01)
    print(known.factor.value, flush=True)
    live.close()
    os._exit(0)
live._stop._cond.release()
_, status = os.waitpid(child, 0)
live.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


# ---- WattTime ----------------------------------------------------------------------------


class Marginal:
    """Answers as WattTime does: a login, then forecasts for whoever has its token."""

    def __init__(self) -> None:
        self.logins = 0
        self.meta: dict[str, Any] = {
            "data_point_period_seconds": 300,
            "region": "CAISO_NORTH",
            "units": "lbs_co2_per_mwh",
            "signal_type": "co2_moer",
            "warnings": [],
        }
        self.points: Any = [("2026-03-01T12:00:00+00:00", 1000.0), ("2026-03-01T12:05:00Z", 500.0)]

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/login":
            # "me:pass word" in base64.
            if asked.headers.get("Authorization") != "Basic bWU6cGFzcyB3b3Jk":
                return Reply(b"", 401)
            self.logins += 1
            return as_json({"token": f"token-{self.logins}"})
        if asked.headers.get("Authorization") != f"Bearer token-{self.logins}":
            return Reply(b"", 401)
        data = [{"point_time": at, "value": value} for at, value in self.points]
        return as_json({"data": data, "meta": self.meta})


@pytest.fixture
def marginal() -> Iterator[tuple[Marginal, GridServer]]:
    service = Marginal()
    with serving(service) as found:
        yield service, found


def watttime_of(server: GridServer, password: str = "pass word") -> WattTime:
    return WattTime("CAISO_NORTH", "me", password, server.url, Web("watttime", ACCOUNT_MEND, 5.0))


def test_a_forecast_is_marginal_and_in_grams(marginal: tuple[Marginal, GridServer]) -> None:
    """Pounds per MWh times 0.45359237, which is the pound by definition."""
    _, server = marginal
    first, second = watttime_of(server).fetch(NOON + 10)
    assert (first.start_s, first.end_s, second.end_s) == (NOON, NOON + 300, NOON + 600)
    assert first.factor.value == 453.59237 == pytest.approx(1000 * G_PER_KWH)
    assert first.factor.basis.startswith("marginal, location-based")
    assert (first.factor.unit, first.factor.region) == ("gCO2e/kWh", "CAISO_NORTH")
    assert [asked.path for asked in server.asked] == ["/login", "/v3/forecast"]
    assert server.asked[1].query == {
        "region": "CAISO_NORTH",
        "signal_type": "co2_moer",
        "horizon_hours": "24",
    }


def test_a_forecast_that_begins_soon_holds_now(marginal: tuple[Marginal, GridServer]) -> None:
    """Its first point may be the next one to come; no further than that."""
    _, server = marginal
    assert watttime_of(server).fetch(NOON - 10)[0].start_s == NOON - 300
    assert watttime_of(server).fetch(NOON - 400)[0].start_s == NOON


def test_a_token_is_used_until_it_has_run_out(marginal: tuple[Marginal, GridServer]) -> None:
    """Then there is one login more, and nobody notices."""
    service, server = marginal
    feed = watttime_of(server)
    for _ in range(3):
        feed.fetch(NOON)
    assert service.logins == 1
    service.logins += 1  # the service has forgotten the first
    feed.fetch(NOON)
    assert service.logins == 3


def test_a_wrong_password_is_named_and_not_shown(
    marginal: tuple[Marginal, GridServer], caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the command that mends it."""
    _, server = marginal
    live = Live(watttime_of(server, "other-secret"), 300.0, now=Clock())
    for _ in range(2):
        assert live.look() is not None
    (record,) = caplog.records
    assert "export INFERPRINT_WATTTIME_USERNAME=<name>" in record.getMessage()
    assert "other-secret" not in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"units": "kg_co2_per_mwh"}, "expected 'lbs_co2_per_mwh'"),
        ({"units": None}, "expected 'lbs_co2_per_mwh'"),
        ({"region": "PJM_DC"}, "asked for region 'CAISO_NORTH'"),
        ({"data_point_period_seconds": "often"}, "'often' is no finite number"),
        ([], "no forecast"),
        ([("yesterday", 1.0)], "'yesterday' is no time"),
        ([("2026-03-01T12:00:00Z", None)], "None is no finite number"),
        ([("2026-03-01T12:00:00Z", -1.0)], "-1.0 is no finite number"),
    ],
)
def test_a_forecast_that_cannot_be_used_is_named(
    marginal: tuple[Marginal, GridServer], change: Any, said: str
) -> None:
    """With what is wrong in it; nothing of it is used."""
    service, server = marginal
    if isinstance(change, dict):
        service.meta |= change
    else:
        service.points = change
    with pytest.raises(Fault, match=re.escape(said)):
        watttime_of(server).fetch(NOON)


@pytest.mark.parametrize("token", [None, "", 5, "two\nlines", "naïve"])
def test_a_login_that_gives_no_token_is_a_fault(server: GridServer, token: Any) -> None:
    """One that could not be sent is none."""
    server.answer = lambda asked: as_json({"token": token})
    with pytest.raises(Fault, match="the answer has no token"):
        watttime_of(server).fetch(NOON)


# ---- opened by the settings --------------------------------------------------------------


def test_without_a_source_it_is_the_same_at_all_times() -> None:
    """And nothing is asked for or imported."""
    known = open_intensity(Config(), None)
    assert isinstance(known, Constant)
    assert known.over(0, 1) == (None, frozenset())


def test_the_settings_open_a_service(
    server: GridServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token comes from the environment, the cache has a file for the source."""
    monkeypatch.setenv("INFERPRINT_ELECTRICITY_MAPS_TOKEN", TOKEN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    server.answer = lambda asked: electricity_maps(56, time.time())
    config = Config(carbon_intensity_source="electricity_maps:FR", electricity_maps_url=server.url)
    assert TOKEN not in repr(config)
    live = open_intensity(config, None)
    assert server.asked == []
    with running(live):
        eventually(lambda: live.over(time.time(), time.time()).factor is not None)
    cached = tmp_path / "inferprint" / "electricity_maps-FR.json"
    assert TOKEN not in cached.read_text()
    assert server.asked[0].headers["auth-token"] == TOKEN


def test_the_settings_open_watttime(
    marginal: tuple[Marginal, GridServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the account that the environment names."""
    service, server = marginal
    monkeypatch.setenv("INFERPRINT_WATTTIME_USERNAME", "me")
    monkeypatch.setenv("INFERPRINT_WATTTIME_PASSWORD", "pass word")
    path = tmp_path / "cache.json"
    config = Config(
        carbon_intensity_source="watttime:CAISO_NORTH",
        watttime_url=server.url,
        intensity_cache_path=str(path),
    )
    with running(open_intensity(config, None)):
        eventually(path.exists)
    assert service.logins == 1


@pytest.mark.parametrize(
    ("source", "variable"),
    [
        ("electricity_maps:FR", "INFERPRINT_ELECTRICITY_MAPS_TOKEN"),
        ("watttime:CAISO_NORTH", "INFERPRINT_WATTTIME_USERNAME"),
    ],
)
def test_a_token_that_is_not_set_is_named(source: str, variable: str) -> None:
    """With the command that sets it."""
    with pytest.raises(ConfigError, match=f"export {variable}=<") as caught:
        open_intensity(Config(carbon_intensity_source=source), None)
    assert caught.value.field == variable


def test_a_token_that_cannot_be_sent_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in the error that says so."""
    monkeypatch.setenv("INFERPRINT_ELECTRICITY_MAPS_TOKEN", "sécret")
    with pytest.raises(ConfigError, match="a token of printable ASCII") as caught:
        open_intensity(Config(carbon_intensity_source="electricity_maps:FR"), None)
    assert "sécret" not in str(caught.value)


@pytest.mark.parametrize("source", ["electricity_maps:FR", "watttime:CAISO_NORTH"])
def test_without_httpx_the_extra_is_named(source: str) -> None:
    """When the source is opened, with the command that installs it."""
    script = (
        "import sys; sys.modules['httpx'] = None\n"
        "from inferprint import Config, MissingExtra\n"
        "from inferprint.intensity import open_intensity\n"
        "try: open_intensity(Config(carbon_intensity_source=sys.argv[1]), None)\n"
        "except MissingExtra as error: print(error)"
    )
    result = run_python("-c", script, source, env={"PYTHONPATH": "tracker"})
    assert "pip install 'inferprint[live]'" in result.stdout, result.stderr


def test_no_time_raises(server: GridServer) -> None:
    """Whatever is asked of a source, an answer comes."""
    live = live_of(server, Clock())
    assert live.look() is None
    for at_s in (-math.inf, -1e30, 0.0, math.inf, math.nan):
        live.over(at_s, at_s)
        live.over(NOON, at_s)
