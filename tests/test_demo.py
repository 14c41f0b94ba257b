"""`inferprint demo`: what it prints, what it serves meanwhile and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from inferprint import Balance, DeviceBalance
from inferprint.demo.screen import meters, table
from inferprint.sources.findings import Finding, FindingStatus
from nvml_sim import SimGpu, Simulator
from support import REPO, run_python

MODELLED = {"INFERPRINT_SOURCES": "cpu_model,dram_model"}
"""Sources that every machine has."""


@contextmanager
def demo(*args: str, env: Mapping[str, str] = MODELLED) -> Iterator[subprocess.Popen[str]]:
    """A demo that runs beside the test; one that does not end by itself is killed."""
    command = [sys.executable, "-W", "error", "-m", "inferprint", "demo", *args]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env={**os.environ, **env}, cwd=REPO, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def rest_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it prints until it ends: ``communicate`` would lose what ``readline`` read ahead."""
    assert process.stdout is not None
    assert process.stderr is not None
    output = process.stdout.read(), process.stderr.read()
    process.wait()
    return output


def scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as reply:
        return str(reply.read().decode())


def finding(component: str, status: FindingStatus) -> Finding:
    return Finding("source", f"{component}:0", component, f"the {component}", status, "because")


def test_the_receipts_add_up_to_the_balance_and_the_metrics_answer_meanwhile() -> None:
    """As JSON: the start names the metrics' address, which answers while the demo runs; the
    receipts add up to what the balance says was charged; the books close.
    """
    with demo("--seconds", "2", "--clients", "3", "--metrics-port", "0", "--json") as process:
        assert process.stdout is not None
        start = json.loads(process.stdout.readline())["start"]
        first = json.loads(process.stdout.readline())["receipt"]
        metrics = scrape(start["metrics"])
        rest, errors = rest_of(process)
    assert (process.returncode, errors) == (0, "")
    *lines, last = map(json.loads, rest.splitlines())
    receipts = [first, *(line["receipt"] for line in lines)]
    devices = last["balance"]["devices"].values()
    phases = ("requests_active_j", "requests_idle_j", "requests_standing_j")
    charged_j = sum(device[phase] for device in devices for phase in phases)
    total_j = sum(receipt["energy"]["total_j"]["mid"] for receipt in receipts)
    assert total_j == pytest.approx(charged_j, rel=1e-9)
    assert last["balance"]["closure_error"] <= 1e-9
    assert "unknown" not in {receipt["provenance"] for receipt in receipts}
    assert {finding["status"] for finding in start["findings"]} & {"measured", "modelled"}
    assert 'inferprint_request_energy_joules_count{model="tiny-llm"' in metrics
    assert "inferprint_device_energy_joules_total{" in metrics


def test_modelled_watts_are_called_modelled_first_and_last() -> None:
    """Without a meter the text says so before the first receipt and after the balance."""
    with demo("--seconds", "1", "--metrics-port", "0") as process:
        text, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    before, after = text.split("tiny-llm", 1)[0], text.split("Balance in joules", 1)[1]
    for part in (before, after):
        assert "all watts are MODELLED, not measured" in part
        assert "inferprint doctor" in part


def test_a_metered_gpu_is_called_measured() -> None:
    """On a GPU with an energy counter that draws 300 W, findings and books say measured, and
    have more joules than the second of load and no more than the whole run.
    """
    with Simulator(SimGpu(power_w=300.0)) as sim:
        arguments = ("--seconds", "1", "--metrics-port", "0", "--json")
        with demo(*arguments, env={**sim.env, "INFERPRINT_SOURCES": "nvml"}) as process:
            began = time.monotonic()
            text, errors = process.communicate(timeout=60)
            took_s = time.monotonic() - began
        assert (process.returncode, errors) == (0, "")
        lines = [json.loads(line) for line in text.splitlines()]
        device = lines[-1]["balance"]["devices"][sim.uuid(0)]
    assert {finding["status"] for finding in lines[0]["start"]["findings"]} == {"measured"}
    assert device["provenance"] == "measured"
    assert 300.0 <= device["measured_j"] <= 300.0 * took_s
    assert lines[-1]["balance"]["closure_error"] <= 1e-9


def test_metrics_that_are_held_are_the_balance() -> None:
    """With --hold they are served after the balance and do not move any more: each device's
    energy is the balance's to the last digit; an interrupt ends it with 0.
    """
    options = ("--seconds", "1", "--metrics-port", "0", "--json", "--hold", "100")
    with demo(*options) as process:
        assert process.stdout is not None
        start = json.loads(process.stdout.readline())["start"]
        while "balance" not in (line := json.loads(process.stdout.readline())):
            pass
        deadline = time.monotonic() + 10
        while not (served := energies(start["metrics"])):
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        assert rest_of(process) == ("", "")
    assert process.returncode == 0
    devices = line["balance"]["devices"]
    assert served == {id_: device["measured_j"] for id_, device in devices.items()}


def energies(url: str) -> dict[str, float]:
    """Joules by device as they are served; nothing while nobody listens."""
    try:
        text = scrape(url)
    except OSError:
        return {}
    name = "inferprint_device_energy_joules_total"
    found = re.findall(rf'^{name}{{.*device="([^"]*)".*}} (\S+)$', text, flags=re.M)
    return {device: float(joules) for device, joules in found}


def test_ctrl_c_ends_it_with_the_balance() -> None:
    """An interrupt under load ends it within seconds: no traceback, balance printed, exit 0."""
    with demo("--seconds", "600", "--metrics-port", "0") as process:
        assert process.stdout is not None
        while "tiny-llm" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        text, errors = rest_of(process)
    assert (process.returncode, errors) == (0, "")
    assert "Balance in joules" in text


def test_a_port_that_was_asked_for_and_is_taken_is_an_error() -> None:
    """It exits with 2, and names the setting and the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run_python("-m", "inferprint", "demo", "--metrics-port", port, env=MODELLED)
    assert result.returncode == 2
    assert "prometheus_port=" + port in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_port_asked_for_a_taken_one_is_passed_over() -> None:
    """The demo runs beside a server that holds the default port, and says where it serves."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        env = {**MODELLED, "INFERPRINT_PROMETHEUS_PORT": port}
        result = run_python("-m", "inferprint", "demo", "--seconds", "0.1", "--json", env=env)
    assert result.returncode == 0, result.stderr
    address = json.loads(result.stdout.splitlines()[0])["start"]["metrics"]
    assert address.startswith("http://127.0.0.1:")
    assert f":{port}/" not in address


def test_without_numpy_it_names_the_extra() -> None:
    """It exits with 1 and the command that installs what is missing."""
    script = "import sys; sys.modules['numpy'] = None; import inferprint.cli as c; "
    result = run_python("-c", script + "sys.exit(c.main(['demo']))")
    assert result.returncode == 1
    assert "pip install 'inferprint[demo]'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "argument", [("--clients", "0"), ("--seconds", "-1"), ("--seconds", "nan"), ("--seconds", "x")]
)
def test_wrong_usage_is_refused(argument: tuple[str, str]) -> None:
    """A count or a time that cannot be is named, with exit code 2."""
    result = run_python("-m", "inferprint", "demo", *argument)
    assert result.returncode == 2
    assert argument[0] in result.stderr


def test_measured_watts_are_not_called_modelled() -> None:
    """With a meter for every component nothing is said of models."""
    text = "\n".join(meters([finding("gpu", "measured"), finding("cpu", "measured")]))
    assert "MODELLED" not in text
    assert text.count("MEASURED") == 2


def test_a_mixture_is_told_apart() -> None:
    """Each device says its own, and no line says that all are modelled."""
    text = "\n".join(meters([finding("gpu", "measured"), finding("cpu", "modelled")]))
    assert "gpu: MEASURED" in text
    assert "cpu: MODELLED" in text
    assert "all watts" not in text


def test_without_any_reading_joules_are_unknown() -> None:
    """A machine on which nothing can be read is told so, with where to look."""
    text = "\n".join(meters([finding("gpu", "absent"), finding("cpu", "unreadable")]))
    assert "UNKNOWN" in text
    assert "inferprint doctor" in text


def test_the_table_shows_every_term_of_the_books() -> None:
    """A device's row has what it used and the six terms that add up to it."""
    device = DeviceBalance("gpu", "a", "measured", 63.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    row = next(line for line in table(Balance({"GPU-1": device})) if "GPU-1" in line)
    used, *terms = map(float, row.split()[2:])
    assert (used, sum(terms)) == (63.0, 63.0)
    assert "measured" in row
