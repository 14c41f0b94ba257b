"""`inferprint doctor`, and the command line that it hangs from."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from inferprint.cli import COMMANDS, main
from inferprint.cli.doctor import Row, Trial, meaning, platform_notes, take_readings
from inferprint.errors import ReadingError
from inferprint.records import Device, Reading
from inferprint.sources.findings import Finding, FindingStatus
from inferprint.sources.host import Host
from powercap import PowercapTree
from support import run_python


class Scripted:
    """A source whose reads give, or raise, what they were told to, one after the other."""

    def __init__(self, *script: list[Reading] | Exception) -> None:
        self._script = iter(script)

    def devices(self) -> list[Device]:
        return [Device("gpu:0", "gpu", "a GPU")]

    def read(self) -> list[Reading]:
        answer = next(self._script)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        pass


def trial(*script: list[Reading] | Exception) -> Trial:
    return take_readings([Scripted(*script)], between_s=0.0)["gpu:0"]


def reading(at_s: float, energy_j: float) -> list[Reading]:
    return [Reading("gpu:0", round(at_s * 1e9), energy_j)]


def row(component: str, status: FindingStatus, trial: Trial | None) -> Row:
    return Row(Finding("source", f"{component}:0", component, "a device", status, "why"), trial)


def doctor(*args: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs the command with settings from the environment, as a person does."""
    env = {"INFERPRINT_" + name.upper(): value for name, value in settings.items()}
    return run_python("-m", "inferprint", "doctor", *args, env=env)


def test_two_readings_give_watts() -> None:
    """Joules between the two by the seconds between them."""
    assert trial(reading(1.0, 50.0), reading(1.5, 150.0)) == Trial(watts=200.0)


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ((ReadingError("the GPU is lost", "lost"), reading(1.0, 1.0)), "the GPU is lost"),
        ((reading(1.0, 1.0), RuntimeError("driver gone")), "driver gone"),
        ((reading(1.0, 1.0), []), "left out"),
        ((reading(1.0, 5.0), reading(2.0, 1.0)), "went back"),
        ((reading(1.0, 5.0), reading(1.0, 5.0)), "went back"),
    ],
)
def test_a_read_that_fails_is_told(
    script: tuple[list[Reading] | Exception, ...], fault: str
) -> None:
    """Any fault of a source is the diagnosis, and never watts."""
    result = trial(*script)
    assert result.watts is None
    assert fault in (result.fault or "")


def test_the_meaning_names_each_component() -> None:
    """One sentence tells what is measured, what is modelled and what will be unknown."""
    rows = [row("cpu", "measured", Trial(12.0)), row("dram", "modelled", Trial(3.0))]
    rows.append(row("gpu", "absent", None))
    assert meaning(rows) == (
        "Receipts will have cpu energy measured, dram energy modelled;"
        " gpu energy will be unknown, not 0."
    )


def test_a_device_that_fails_gives_receipts_nothing() -> None:
    """A finding says `measured`, but its readings failed: receipts will have no energy."""
    assert "no energy" in meaning([row("gpu", "measured", Trial(fault="lost"))])


def test_the_machine_is_described() -> None:
    """What limits the figures is said: not Linux, a VM, a container, a quota."""
    host = Host("Darwin", "CPU", 1, 8, virtual=True, container=True, cpu_limit=2.5)
    notes = " ".join(platform_notes(host))
    assert all(part in notes for part in ("Darwin", "virtual machine", "container", "2.5 of 8"))
    assert platform_notes(Host("Linux", "CPU", 1, 8, virtual=False, container=False)) == []


def test_it_prints_every_device() -> None:
    """Component, status, watts, name and why, then the meaning; exit code 0."""
    result = doctor(sources="cpu_model,dram_model")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert any(line.startswith("cpu  modelled") and " W  " in line for line in lines)
    assert any(line.startswith("dram modelled") and "GB of memory" in line for line in lines)
    assert lines[-1].startswith("Receipts will have cpu energy modelled, dram energy modelled")


def test_json_holds_the_same() -> None:
    """One object: devices with watts, the platform, and the meaning."""
    result = doctor("--json", sources="cpu_model,dram_model")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert {device["status"] for device in report["devices"]} == {"modelled"}
    assert all(device["watts"] > 0 and device["fault"] is None for device in report["devices"])
    assert report["platform"]["threads"] >= 1
    assert report["receipts"].startswith("Receipts will have")


def test_measured_counters_are_read(tmp_path: Path) -> None:
    """On a powercap tree the packages are measured; that a counter stands still is said."""
    tree = PowercapTree("intel_two_sockets", tmp_path)
    result = doctor(powercap_root=str(tree.root), sources="rapl")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(" 0.0 W  ") == 4
    assert result.stdout.count("did not move between two readings") == 4


def test_a_missing_named_source_fails_with_its_reason(tmp_path: Path) -> None:
    """Exit code 1, and the reason on standard error."""
    result = doctor(powercap_root=str(tmp_path), sources="rapl")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("inferprint: The power source 'rapl' is not there")


def test_a_wrong_setting_is_wrong_usage() -> None:
    """Exit code 2, with the setting and what would be right."""
    result = doctor(sources="rapls")
    assert (result.returncode, result.stdout) == (2, "")
    assert "cpu_model" in result.stderr


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["doctor", "--no-such-flag"]])
def test_wrong_usage_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The parser names what is wrong and how it would be right."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: inferprint" in capsys.readouterr().err


def test_help_lists_the_commands_and_loads_nothing_heavy() -> None:
    """`python -m inferprint --help` is quick: no numpy, pandas or codecarbon."""
    script = (
        "import sys\nfrom inferprint.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as end: assert end.code == 0\n"
        "print('LOADED', *sys.modules)"
    )
    result = run_python("-c", script)
    assert result.returncode == 0, result.stderr
    text, modules = result.stdout.split("LOADED")
    assert all(name in text for name in COMMANDS)
    assert {"numpy", "pandas", "codecarbon", "psutil"}.isdisjoint(modules.split())


def test_the_module_runs() -> None:
    """`python -m inferprint` is the same program."""
    result = run_python("-m", "inferprint", "--version")
    assert result.returncode == 0
    assert result.stdout.startswith("inferprint ")


PLUGIN = """\
from types import SimpleNamespace
def _add(subparsers): subparsers.add_parser("greet", help="says hello")
def _run(args): print("hello"); return 0
command = SimpleNamespace(add_parser=_add, run=_run)
"""


def test_commands_of_other_packages_are_found(tmp_path: Path) -> None:
    """An entry point brings its command, and one that can't be loaded takes none along."""
    (tmp_path / "greetings.py").write_text(PLUGIN)
    info = tmp_path / "greetings-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[inferprint.commands]\ngreet = greetings:command\nlost = no_such_module:command\n"
    )
    result = run_python("-m", "inferprint", "greet", env={"PYTHONPATH": str(tmp_path)})
    assert result.stdout == "hello\n"
    assert result.returncode == 0
    assert "lost is not available" in result.stderr
