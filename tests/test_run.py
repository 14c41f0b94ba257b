"""`inferprint run`: a receipt for a command, which runs as if it ran alone."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inferprint.sources.tree_usage import TreeTimes
from nvml_sim import SimGpu, Simulator
from support import REPO, run_python

BURN = "import time\nwhile time.process_time() < {}: pass\n"
MODELLED = {"INFERPRINT_SOURCES": "cpu_model,dram_model"}
RUN = (sys.executable, "-W", "error", "-m", "inferprint", "run")

# Tells of each signal that it gets, and ends well at the first SIGTERM.
TELLS = """
import signal, sys, time
def told(number, frame):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit(7)
for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"):
    signal.signal(getattr(signal, name), told)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "inferprint", "run", *command, env={**MODELLED, **env})


def python(code: str) -> tuple[str, str, str, str]:
    return "--", sys.executable, "-c", code


def run_json(code: str, **env: str) -> dict[str, Any]:
    result = run("--json", *python(code), **env)
    assert result.stderr == ""
    told: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return told


@contextmanager
def running(*command: str, env: Mapping[str, str] = MODELLED, **how: Any) -> Iterator[Any]:
    """A command that runs under ``inferprint run``; it is gone afterwards."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [*RUN, *command], cwd=REPO, env={**os.environ, **env}, text=True, **{**pipes, **how}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def eventually(seen: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not seen():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def state(pid: int) -> str:
    """A process's state as Linux tells it, such as T for stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def child_of(pid: int) -> int:
    """The only child of a process."""
    children: list[str] = []

    def seen() -> bool:
        for task in Path(f"/proc/{pid}/task").iterdir():
            children.extend((task / "children").read_text().split())
        return bool(children)

    assert eventually(seen)
    return int(children[0])


def test_the_command_gets_a_receipt_and_keeps_its_output() -> None:
    """Its stdout is its own; the receipt follows on stderr, with how each figure is known."""
    result = run(*python("print('done')"))
    assert (result.returncode, result.stdout) == (0, "done\n")
    first, *rows = result.stderr.splitlines()
    assert first.startswith(f"inferprint: {sys.executable}: exit code 0 after ")
    named = {row.split("  ")[0].strip() for row in rows}
    assert {"energy", "duration", "cpu", "dram", "CPU time"} <= named
    assert "modelled" in result.stderr


def test_stdin_is_the_commands(tmp_path: Path) -> None:
    """It is read by nobody else."""
    with running("--output", str(tmp_path / "r"), "--", "cat") as process:
        assert process.communicate("one\ntwo\n") == ("one\ntwo\n", "")
    assert "exit code 0" in (tmp_path / "r").read_text()


@pytest.mark.parametrize(
    ("code", "expected", "outcome"),
    [
        ("raise SystemExit(3)", 3, "error"),
        ("import os; os.kill(os.getpid(), 15)", 128 + 15, "cancelled"),
        ("import os; os.kill(os.getpid(), 9)", 128 + 9, "error"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGPIPE)", 128 + 13, "error"),
    ],
)
def test_the_exit_code_is_the_commands(code: str, expected: int, outcome: str) -> None:
    """Also where a signal ended it; and signals do to it what they would without us."""
    handlers = "import signal; signal.signal(13, signal.SIG_DFL); " if expected == 141 else ""
    result = run("--json", *python(handlers + code))
    assert result.returncode == expected
    told = json.loads(result.stdout)
    assert told["exit_code"] == expected
    assert told["receipt"]["outcome"] == outcome


def test_what_cannot_be_started_is_told_as_a_shell_does(tmp_path: Path) -> None:
    """127: it is not there; 126: it can't be executed; 2: there is none."""
    plain = tmp_path / "plain"
    plain.write_text("no program")
    for command, code, said in (
        (["no-such-program-here"], 127, "No such file"),
        ([str(plain)], 126, "Permission denied"),
        ([], 2, "inferprint run -- python train.py"),
    ):
        result = run("--", *command)
        assert (result.returncode, result.stdout) == (code, "")
        assert said in result.stderr
        assert "Traceback" not in result.stderr


def test_a_file_that_cannot_be_written_is_refused_before_the_command_runs(tmp_path: Path) -> None:
    """Not after days of it."""
    result = run("--output", str(tmp_path / "gone" / "receipt"), *python("print('ran')"))
    assert (result.returncode, result.stdout) == (2, "")
    assert "mkdir -p" in result.stderr


def test_the_receipt_is_labelled_and_goes_to_a_file(tmp_path: Path) -> None:
    """As JSON with the books of the devices, which close."""
    file = tmp_path / "receipt.json"
    labels = ("--label", "team=search", "--label", "a=b=c", "--model", "nightly")
    result = run(*labels, "--json", "--output", str(file), *python("print('done')"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")
    told = json.loads(file.read_text())
    assert told["receipt"]["labels"] == {"team": "search", "a": "b=c"}
    assert told["receipt"]["model"] == "nightly"
    assert told["receipt"]["energy"]["total_j"]["mid"] > 0
    assert {device["component"] for device in told["devices"].values()} == {"cpu", "dram"}


def test_a_label_without_a_value_is_refused() -> None:
    """With what it should be."""
    result = run("--label", "team", *python("pass"))
    assert result.returncode == 2
    assert "NAME=VALUE" in result.stderr


def test_the_time_of_the_whole_tree_counts() -> None:
    """Of children, of theirs, of those that have ended, and of one that left its parent."""
    code = f"""
import subprocess, sys
burn = {BURN.format(0.3)!r}
inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {{burn!r}}]); " + burn
subprocess.run([sys.executable, "-c", inner])
leaves = f"import os; os.fork() and os._exit(0); os.setsid(); " + burn + "print(flush=True)"
left = subprocess.Popen([sys.executable, "-W", "ignore", "-c", leaves], stdout=subprocess.PIPE)
left.stdout.readline()  # the one that left its parent has done its work
"""
    told = run_json(code)
    assert told["exit_code"] == 0
    assert 0.9 <= told["cpu_s"] < 5.0
    assert told["receipt"]["energy"]["active_j"]["mid"] > 0


@pytest.mark.alone
def test_others_work_is_not_charged_to_it() -> None:
    """While another process burns all of a CPU, a command that sleeps gets little of it."""
    with subprocess.Popen([sys.executable, "-c", BURN.format(1000)]) as other:
        told = run_json("import time; time.sleep(1)")
        other.kill()
    (cpu,) = (device for device in told["devices"].values() if device["component"] == "cpu")
    assert cpu["other_processes_j"] > 5 * cpu["requests_active_j"]
    assert told["receipt"]["energy"]["by_component"]["cpu"]["idle_j"]["mid"] > 0


def test_a_gpu_is_shared_by_the_utilisation_of_processes(tmp_path: Path) -> None:
    """The command's processes had three quarters of what the GPU was busy with."""
    with (
        Simulator(SimGpu(power_w=100.0, step_ms=20.0)) as sim,
        running(
            *("--json", "--output", str(tmp_path / "r"), "--", "cat"),
            env={**sim.env, "INFERPRINT_SOURCES": "nvml", "INFERPRINT_GPU_IDLE_W": "100"},
        ) as process,
    ):
        sim.set_processes(0, {child_of(process.pid): 60, 1: 20})
        sim.set_power(0, 500.0)
        time.sleep(2.5)  # looks at processes are a second apart
        process.communicate("")
    told = json.loads((tmp_path / "r").read_text())
    (gpu,) = told["devices"].values()
    active_j = gpu["requests_active_j"] + gpu["other_processes_j"]
    assert gpu["requests_active_j"] / active_j > 0.6  # all of it until the first look
    assert gpu["other_processes_j"] / active_j > 0.1
    assert told["receipt"]["energy"]["by_component"]["gpu"]["provenance"] == "prorated"


def test_signals_are_sent_on() -> None:
    """Each once; the command ends as it likes, and the receipt comes after it."""
    with running(*python(TELLS)) as process:
        assert process.stdout.readline() == "ready\n"
        for name in ("SIGUSR1", "SIGHUP", "SIGINT", "SIGTERM"):
            process.send_signal(getattr(signal, name))
            assert process.stdout.readline() == name + "\n"
        assert process.communicate()[0] == ""
        assert process.returncode == 7


def test_a_stop_and_a_continuation_are_sent_on(tmp_path: Path) -> None:
    """Both stop, and go on together. In a group of their own: in one that nobody outside waits
    for, such as that of a program without a terminal, the kernel ignores this signal.
    """
    how = {"process_group": 0}
    with running("--output", str(tmp_path / "r"), *python(TELLS), **how) as process:
        assert process.stdout.readline() == "ready\n"
        child = child_of(process.pid)
        process.send_signal(signal.SIGTSTP)
        assert eventually(lambda: state(child) == state(process.pid) == "T")
        process.send_signal(signal.SIGCONT)
        assert eventually(lambda: "T" not in state(child) + state(process.pid))
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == 7


def test_ctrl_c_reaches_it_once() -> None:
    """The terminal interrupts both; the command is told once, and goes on if it likes."""
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with running(*python(TELLS), stdin=theirs, preexec_fn=own_terminal) as process:
        os.close(theirs)
        assert process.stdout.readline() == "ready\n"
        os.write(ours, b"\x03")
        assert process.stdout.readline() == "SIGINT\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate()[0] == "SIGTERM\n"
        assert process.returncode == 7
    os.close(ours)


def test_the_receipt_is_kept_by_the_store(tmp_path: Path) -> None:
    """Like any other; exporters that listen are left to the command."""
    url = f"sqlite:///{tmp_path / 'receipts.db'}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    env = {"INFERPRINT_EXPORTERS": "store,prometheus", "INFERPRINT_STORE_URL": url}
    env["INFERPRINT_PROMETHEUS_PORT"] = str(port)
    code = f"import socket; socket.create_server(('127.0.0.1', {port})).close(); print('free')"
    result = run("--model", "nightly", *python(code), **env)
    assert (result.returncode, result.stdout) == (0, "free\n")
    report = run_python("-m", "inferprint", "report", "--store", url, "--json")
    assert json.loads(report.stdout)["requests"] == 1


def test_time_without_lists_of_children_is_found_all_the_same(tmp_path: Path) -> None:
    """A kernel without them: processes are then looked for one by one."""
    with subprocess.Popen([sys.executable, "-c", BURN.format(1000)]) as child:
        own = tmp_path / str(os.getpid()) / "task" / str(os.getpid())
        own.mkdir(parents=True)
        (tmp_path / str(child.pid)).symlink_to(f"/proc/{child.pid}")
        times, began_s = TreeTimes(proc=tmp_path), TreeTimes(proc=tmp_path).own_s()
        assert eventually(lambda: times.own_s() >= began_s + 0.1)
        assert times().own_s >= began_s + 0.1
        child.kill()
    before_s = times.own_s()
    assert before_s >= began_s + 0.1  # what has ended stays counted


def test_an_agent_is_the_commands_to_tell(tmp_path: Path) -> None:
    """The run measures by itself, whether there is one at that path or not; the command sees it."""
    env = {"INFERPRINT_AGENT": str(tmp_path / "agent.sock")}
    code = "import os; print(os.environ['INFERPRINT_AGENT'])"
    result = run("--json", *python(code), **env)
    printed, told = result.stdout.splitlines()
    assert (result.returncode, printed) == (0, env["INFERPRINT_AGENT"])
    assert json.loads(told)["receipt"]["provenance"] == "modelled"
