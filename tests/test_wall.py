"""A meter of the whole machine: how it is asked, and what it counts beside the devices."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from inferprint import Config, Tracker
from inferprint.errors import ReadingError
from inferprint.sources import _wall_meters
from inferprint.sources._wall_meters import ipmi_w, open_meter
from inferprint.sources.wall import WallSource, finding
from inferprint.testing import FakeClock, FakeSource
from inferprint_exporters._readings import read_tracker

CHASSIS = "/redfish/v1/Chassis/1"
TASMOTA = "/cm?cmnd=Status%208"


class Plug:
    """A server on loopback whose answers are set by path; what it was asked with is kept."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.account = ""
        self.asked: list[str] = []
        plug = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                plug.asked.append(self.path)
                allowed = not plug.account or self.headers["Authorization"] == plug.account
                answer = plug.answers.get(self.path)
                self.send_response(401 if not allowed else 404 if answer is None else 200)
                self.end_headers()
                text = answer if isinstance(answer, str) else json.dumps(answer)
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def tasmota(self, watts: Any) -> None:
        """Answers as Tasmota does."""
        energy = {"Total": 12.345, "Power": watts, "Voltage": 231}
        self.answers[TASMOTA] = {"StatusSNS": {"Time": "2026-01-01T00:00:00", "ENERGY": energy}}


@pytest.fixture
def plug() -> Iterator[Plug]:
    plug = Plug()
    thread = threading.Thread(target=plug.server.serve_forever, args=(0.01,))
    thread.start()
    yield plug
    plug.server.shutdown()
    plug.server.server_close()
    thread.join()


def eventually(seen: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not seen():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# ---- the meters -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "path", "answers", "watts"),
    [
        ("tasmota", "", {TASMOTA: {"StatusSNS": {"ENERGY": {"Power": 87}}}}, 87.0),
        ("tasmota", "", {TASMOTA: {"StatusSNS": {"ENERGY": {"Power": [80, 7.5]}}}}, 87.5),
        ("shelly", "", {"/rpc/Switch.GetStatus?id=0": {"id": 0, "apower": 61.2}}, 61.2),
        ("shelly", "", {"/meter/0": {"power": 40.25, "total": 1}}, 40.25),
        ("shelly", "", {"/meter/0": {"power": -0.1}}, 0.0),
        (
            "redfish",
            CHASSIS,
            {CHASSIS + "/EnvironmentMetrics": {"PowerWatts": {"Reading": 412.0}}},
            412.0,
        ),
        (
            "redfish",
            CHASSIS,
            {CHASSIS + "/Power": {"PowerControl": [{"PowerConsumedWatts": 9}]}},
            9,
        ),
        (
            "redfish",
            CHASSIS,
            {
                CHASSIS + "/EnvironmentMetrics": {"PowerWatts": None},
                CHASSIS + "/Power": {"PowerControl": [{"PowerConsumedWatts": 300}]},
            },
            300.0,
        ),
    ],
)
def test_meters_tell_watts(
    plug: Plug, kind: str, path: str, answers: Mapping[str, Any], watts: float
) -> None:
    """Each as its maker documents it, with what older ones have."""
    plug.answers.update(answers)
    assert open_meter(f"{kind}:{plug.url}{path}")() == watts


@pytest.mark.parametrize(
    "answer",
    ["no JSON", {}, [], {"StatusSNS": {}}, {"StatusSNS": {"ENERGY": {"Power": "87"}}}, None],
)
def test_an_answer_without_watts_is_a_fault(plug: Plug, answer: Any) -> None:
    """Never 0 W."""
    plug.answers[TASMOTA] = answer
    with pytest.raises(ReadingError):
        open_meter(f"tasmota:{plug.url}")()


def test_a_meter_that_is_not_there_is_a_fault(plug: Plug) -> None:
    """Which names it."""
    with pytest.raises(ReadingError, match=r"127\.0\.0\.1:9"):
        open_meter("tasmota:http://127.0.0.1:9")()


def test_a_bmc_is_asked_with_an_account(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is in the environment alone; without it, the fault says which variables."""
    plug.answers[CHASSIS + "/EnvironmentMetrics"] = {"PowerWatts": {"Reading": 412}}
    plug.account = "Basic " + base64.b64encode(b"reader:secret").decode()
    read_w = open_meter(f"redfish:{plug.url}{CHASSIS}")
    with pytest.raises(ReadingError, match="INFERPRINT_REDFISH_PASSWORD") as raised:
        read_w()
    assert raised.value.kind == "refused"
    monkeypatch.setenv("INFERPRINT_REDFISH_USER", "reader")
    monkeypatch.setenv("INFERPRINT_REDFISH_PASSWORD", "secret")
    assert read_w() == 412.0


def program(folder: Path, body: str) -> list[str]:
    """A program in place of ipmitool."""
    path = folder / "ipmitool"
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(0o755)
    return [str(path), "dcmi", "power", "reading"]


def test_a_bmc_is_asked_by_ipmitool(tmp_path: Path) -> None:
    """For what its DCMI tells now, not for its mean."""
    told = (
        "    Instantaneous power reading:                   215 Watts\n"
        "    Minimum during sampling period:                 98 Watts\n"
        "    Average power reading over sample period:      201 Watts\n"
    )
    assert ipmi_w(program(tmp_path, f"cat <<EOF\n{told}EOF\n")) == 215.0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo 'Could not open device at /dev/ipmi0' >&2; exit 1", "chmod a+rw /dev/ipmi0"),
        ("echo 'DCMI request failed because: Invalid command (c1)'", "Invalid command"),
        (None, "apt-get install ipmitool"),
        ("exec sleep 30", "took over"),
    ],
)
def test_a_bmc_that_does_not_tell_is_a_fault(
    tmp_path: Path, body: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it said, and the command that mends it."""
    monkeypatch.setattr(_wall_meters, "TIMEOUT_S", 0.5)
    command = [str(tmp_path / "gone")] if body is None else program(tmp_path, body)
    with pytest.raises(ReadingError, match=re.escape(said)):
        ipmi_w(command)


# ---- the source -------------------------------------------------------------------------


def test_power_is_integrated_and_a_fault_is_a_gap() -> None:
    """Joules between two looks by their mean power; over a look that failed nothing is counted."""
    told: list[float | ReadingError] = [100.0, 200.0, ReadingError("gone", "lost"), 200.0]

    def read_w() -> float:
        one = told.pop(0)
        if isinstance(one, ReadingError):
            raise one
        return one

    source = WallSource(read_w, "wall:fake")
    first, second = source.look(), source.look()
    assert not isinstance(first, ReadingError)
    assert not isinstance(second, ReadingError)
    elapsed_s = (second.at_ns - first.at_ns) / 1e9
    assert second.energy_j - first.energy_j == pytest.approx(150.0 * elapsed_s)
    assert finding(source).status == "unreadable"
    again = source.look()
    assert not isinstance(again, ReadingError)
    assert again.energy_j < first.energy_j  # a reset: what was in between is not known


@contextmanager
def metered(url: str) -> Iterator[Tracker]:
    config = Config(sources=("cpu_model",), wall_meter=f"tasmota:{url}")
    with Tracker(config, exporters=[]) as tracker:
        yield tracker


def test_a_tracker_has_the_meter_beside_its_devices(plug: Plug) -> None:
    """In its balance, in no receipt; it is asked about once a second, and comes back by itself."""
    plug.tasmota(500.0)
    with metered(plug.url) as tracker:
        with tracker.request("m") as request:
            time.sleep(0.3)
        receipt = request.receipt(timeout=30.0)
        assert set(receipt.energy.by_component) == {"cpu"}
        assert eventually(lambda: tracker.balance().meters["wall:tasmota"].measured_j > 400.0)
        meter = tracker.balance().meters["wall:tasmota"]
        assert meter.power_w == pytest.approx(500.0, rel=0.01)
        assert meter.provenance == "measured"
        assert 0 < meter.devices_j < meter.measured_j
        assert set(tracker.balance().devices) == {"cpu:package-0"}
        del plug.answers[TASMOTA]
        assert eventually(
            lambda: any(kind == "http_404" for _, kind in tracker.status().source_errors)
        )
        before_j = tracker.balance().meters["wall:tasmota"].measured_j
        plug.tasmota(500.0)
        assert eventually(lambda: tracker.balance().meters["wall:tasmota"].measured_j > before_j)


def test_a_meter_that_is_down_at_the_start_is_told_and_waited_for(plug: Plug) -> None:
    """The tracker serves without it, and counts nothing of the devices before it is there."""
    with metered(plug.url) as tracker:
        statuses = {finding.source: finding.status for finding in tracker.findings}
        assert statuses["wall"] == "unreadable"
        with tracker.request("m") as request:
            time.sleep(0.15)
        assert request.receipt(timeout=30.0).provenance != "unknown"
        assert tracker.balance().meters == {}
        plug.tasmota(500.0)
        assert eventually(
            lambda: (
                bool(tracker.balance().meters)
                and tracker.balance().meters["wall:tasmota"].measured_j > 0
            )
        )


# ---- the books --------------------------------------------------------------------------


@contextmanager
def by_hand() -> Iterator[tuple[FakeClock, FakeSource, Tracker]]:
    clock = FakeClock()
    gpu = FakeSource(clock, "gpu:0", watts=300.0)
    plug = FakeSource(clock, "wall:plug", "wall", watts=450.0)
    with Tracker(sources=[plug, gpu], exporters=[], clock=clock) as tracker:
        yield clock, plug, tracker


def test_what_the_meter_has_above_the_devices_is_a_line_of_its_own() -> None:
    """And neither in a receipt nor in the sums of the devices."""
    with by_hand() as (clock, _, tracker):
        with tracker.request("m") as request:
            clock.advance(10.0)
        tracker.sample()
        meter = tracker.balance().meters["wall:plug"]
        assert (meter.measured_j, meter.devices_j, meter.rest_j) == (4500.0, 3000.0, 1500.0)
        assert meter.power_w == 450.0
        assert set(tracker.balance().devices) == {"gpu:0"}
        assert float(request.receipt().energy.total_j or 0) == 3000.0
        assert tracker.balance().closure_error < 1e-9


def test_what_devices_use_while_the_meter_is_down_is_not_taken_from_it() -> None:
    """A window whose energy is not known counts on neither side."""
    with by_hand() as (clock, plug, tracker):
        clock.advance(2.0)
        tracker.sample()
        plug.reset()  # what it counted meanwhile is lost
        clock.advance(1.0)
        tracker.sample()
        clock.advance(1.0)
        tracker.sample()
        meter = tracker.balance().meters["wall:plug"]
        assert meter.measured_j == 1350.0
        assert meter.rest_j == pytest.approx(meter.measured_j / 3)


def test_metrics_have_both_sides() -> None:
    """As counters, whose rates can be subtracted."""
    with by_hand() as (clock, _, tracker):
        clock.advance(10.0)
        tracker.sample()
        values = read_tracker(tracker, lambda name, value: value)
        assert values["inferprint_wall_energy_joules_total"] == {("wall:plug", "measured"): 4500.0}
        assert values["inferprint_wall_known_energy_joules_total"] == {("wall:plug",): 3000.0}
        assert ("wall:plug", "wall", "measured") not in values[
            "inferprint_device_energy_joules_total"
        ]
