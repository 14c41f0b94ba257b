"""`inferprint top` as it is run: on a terminal, in a pipe, beside a server that comes and goes."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from inferprint_exporters.prometheus import PrometheusExporter
from rig import live
from screens import CODES, ENTERS, LEAVES, on_screen
from support import REPO, run_python

MODELLED = {"INFERPRINT_SOURCES": "cpu_model,dram_model"}
"""Sources that every machine has."""

RUN = ("-W", "error", "-m", "inferprint", "top")

TOP = {"at", "mode", "address", "stale_s", "devices", "models", "requests", "in_flight", "grid"}
TOP |= {"hosted_j", "faults", "notes"}
DEVICE = {"id", "name", "component", "provenance", "power_w", "idle_w", "age_s", "measured_j"}
DEVICE |= {"active_j", "idle_j", "standing_j", "unsplit_j", "uncharged_j", "other_processes_j"}
DEVICE |= {"unattributed_j", "closure_error"}
MODEL = {"model", "in_flight", "requests", "energy_j", "active_j", "idle_j", "standing_j"}
MODEL |= {"unsplit_j", "wasted_j", "output_tokens", "carbon_g", "cost"}
REQUEST = {"request_id", "model", "duration_s", "output_tokens", "energy_j", "carbon_g", "cost"}
REQUEST |= {"provenance"}


def top(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "inferprint", "top", *args, env={**MODELLED, **env})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def serving(port: int = 0) -> Iterator[str]:
    """A server with a request in flight and its metrics; their address."""
    exporter = PrometheusExporter(listen=("127.0.0.1", port))
    with live(exporters=[exporter]) as tracker, tracker.request("llama"):
        yield f"http://127.0.0.1:{exporter.port}/metrics"


def test_one_look_at_this_machine_as_json() -> None:
    """Every field is there, power is known of every device, and the books add up."""
    result = top("--once", "--json", "--devices")
    assert (result.returncode, result.stderr) == (0, "")
    seen = json.loads(result.stdout)
    assert set(seen) == TOP
    assert (seen["mode"], seen["in_flight"], seen["requests"]) == ("devices", 0, [])
    assert seen["devices"]
    for device in seen["devices"]:
        assert set(device) == DEVICE
        assert device["provenance"] == "modelled"
        assert device["power_w"] > 0
        terms = ("active_j", "idle_j", "standing_j", "unsplit_j", "uncharged_j")
        terms += ("other_processes_j", "unattributed_j")
        assert sum(device[term] for term in terms) == pytest.approx(device["measured_j"], rel=1e-9)


def test_one_look_at_a_demo_as_json() -> None:
    """Models have their totals, and each request in flight its running cost with an interval."""
    result = top("--once", "--json", "--demo", INFERPRINT_LOCATION="FRA")
    assert (result.returncode, result.stderr) == (0, "")
    seen = json.loads(result.stdout)
    (model,) = seen["models"]
    assert set(model) == MODEL
    assert (model["model"], seen["grid"]["location"]) == ("tiny-llm", "FRA")
    assert model["requests"] >= 1
    assert model["energy_j"] > 0
    assert model["carbon_g"] > 0
    assert model["in_flight"] == seen["in_flight"] == len(seen["requests"])
    for request in seen["requests"]:
        assert set(request) == REQUEST
        energy_j = request["energy_j"]
        assert energy_j is None or energy_j["low"] <= energy_j["mid"] <= energy_j["high"]
        assert request["cost"] is None


def test_one_look_at_a_server() -> None:
    """Its devices and models, and of requests in flight the number alone, which it says."""
    with serving() as url:
        seen = json.loads(top("--once", "--json", "--metrics", url).stdout)
        text = top("--once", "--metrics", url, COLUMNS="80").stdout
    assert (seen["mode"], seen["address"], seen["requests"]) == ("metrics", url, None)
    assert (seen["in_flight"], seen["models"][0]["in_flight"]) == (1, 1)
    assert seen["devices"][0]["id"] == "gpu:0"
    assert "Requests in flight: 1" in text
    assert "Metrics name no request" in text
    assert "\x1b" not in text


def test_without_arguments_it_finds_the_server_of_the_settings() -> None:
    """It attaches to what answers on the configured port; with --devices, or where nothing
    does, it reads this machine.
    """
    port = free_port()
    with serving(port):
        here = json.loads(top("--once", "--json", INFERPRINT_PROMETHEUS_PORT=str(port)).stdout)
    gone = json.loads(top("--once", "--json", INFERPRINT_PROMETHEUS_PORT=str(port)).stdout)
    assert (here["mode"], gone["mode"]) == ("metrics", "devices")


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    """A server that answers everything with this; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/metrics"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 503, "HTTP 503"),
        (b"<html>hello</html>", 200, "no page of Prometheus metrics"),
        (b"\xff\xfe\x00{", 200, "no page of Prometheus metrics"),
        (b"up 1\n", 200, "none of inferprint's"),
        (b"x" * (17 << 20), 200, "more than 16 MiB"),
    ],
)
def test_what_is_no_server_of_ours_is_an_error(body: bytes, status: int, said: str) -> None:
    """One look fails with exit code 1, what it saw, and the setting that mends it."""
    with answering(body, status) as url:
        result = top("--once", "--metrics", url)
    assert (result.returncode, result.stdout) == (1, "")
    assert said in result.stderr
    assert "INFERPRINT_EXPORTERS=prometheus" in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_usage_is_refused() -> None:
    """A URL that is none, and two things to look at: exit code 2."""
    assert top("--once", "--metrics", "localhost").returncode == 2
    assert top("--demo", "--devices").returncode == 2


def test_without_rich_it_names_the_extra() -> None:
    """It exits with 1 and the command that installs what is missing; other commands work."""
    script = "import sys; sys.modules['rich'] = None; import inferprint.cli as c; "
    result = run_python("-c", script + "sys.exit(c.main(['top', '--once']))", env=MODELLED)
    assert result.returncode == 1
    assert "pip install 'inferprint[terminal]'" in result.stderr
    assert run_python("-c", script + "sys.exit(c.main(['quote', '--help']))").returncode == 0


def test_in_a_pipe_it_prints_objects_until_its_reader_goes() -> None:
    """Without --once, an object a look; when the pipe closes, it ends without an error."""
    command = [sys.executable, *RUN, "--devices", "--json", "--interval", "0.1"]
    env, pipe = {**os.environ, **MODELLED}, subprocess.PIPE
    with subprocess.Popen(command, env=env, cwd=REPO, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        seen = [json.loads(process.stdout.readline()) for _ in range(9)]
        process.stdout.close()
        errors = process.stderr.read()
        assert (process.wait(30), errors) == (0, b"")
    assert seen[6]["devices"][0]["measured_j"] < seen[8]["devices"][0]["measured_j"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_on_a_terminal_it_paints_until_it_is_ended(sent: signal.Signals) -> None:
    """A demo on a real terminal: a request in flight with its cost appears, and Ctrl-C or a
    service manager leaves the terminal as it was, with exit code 0.
    """
    with on_screen(*RUN, "--demo", "--interval", "0.2", env=MODELLED) as screen:
        frame = screen.until(lambda text: "energy so far" in text and "tiny-llm" in text)
        status = screen.end(sent)
    assert status == 0
    assert max(map(len, frame.splitlines())) <= 80
    assert screen.written.count(ENTERS) == screen.written.count(LEAVES) == 1
    assert screen.written.index(LEAVES) > screen.written.rindex("inferprint top")
    assert "Traceback" not in screen.written


def test_a_terminal_that_is_resized_is_painted_at_once() -> None:
    """The next look is an hour off: it is the new size that brings another picture."""
    with on_screen(*RUN, "--devices", "--interval", "3600", env=MODELLED) as screen:
        while "Ctrl-C" not in screen.written:
            assert screen._read(10.0)
        before = len(screen.written)
        screen.resize(40, 30)
        while "Ctrl-C" not in screen.written[before:]:
            assert screen._read(10.0)
        assert screen.end(signal.SIGINT) == 0
    lines = screen.written[before:].split("\x1b[H")[1].splitlines()
    assert len(lines) <= 30
    assert max(len(CODES.sub("", line)) for line in lines) <= 40


@pytest.mark.parametrize(("args", "env"), [((), {"NO_COLOR": "1"}), (("--no-color",), {})])
def test_colours_can_be_left_out(args: tuple[str, ...], env: dict[str, str]) -> None:
    """NO_COLOR and --no-color leave no code of a colour, and the words are there."""
    with on_screen(*RUN, "--once", "--devices", *args, env={**MODELLED, **env}) as screen:
        while screen._read(10.0):
            pass
    assert "modelled" in screen.written
    assert "\x1b[33m" not in screen.written


def test_with_colours_modelled_is_yellow() -> None:
    """Which is what the test above would not see otherwise."""
    with on_screen(*RUN, "--once", "--devices", env=MODELLED) as screen:
        while screen._read(10.0):
            pass
    assert "\x1b[33mmodelled" in screen.written


def test_a_server_that_stops_and_starts_is_shown_as_that() -> None:
    """Attached on a terminal: before it is there, no data yet; then its figures; when it has
    gone, stale ones, with what is of now unknown; when it is back, fresh ones.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    args = (*RUN, "--metrics", url, "--interval", "0.2")
    with on_screen(*args, env=MODELLED, width=100) as screen:
        screen.until(lambda text: "No data yet" in text)
        with serving(port):
            screen.until(lambda text: "Requests in flight: 1" in text and "100 W" in text)
        gone = screen.until(lambda text: "STALE" in text)
        assert "Requests in flight: ?" in gone
        assert "100 W" not in gone
        with serving(port):
            screen.until(lambda text: "STALE" not in text and "100 W" in text)
        assert screen.end(signal.SIGINT) == 0


def test_an_ascii_terminal_gets_every_figure() -> None:
    """Where µ and … cannot be written, they are spelled: no error, no lost line."""
    result = top("--once", "--demo", PYTHONIOENCODING="ascii", INFERPRINT_LOCATION="FRA")
    assert (result.returncode, result.stderr) == (0, "")
    assert "tiny-llm" in result.stdout
