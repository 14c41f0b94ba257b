"""AMD's and Apple's GPUs behind the same protocol, on stand-ins for the packages that read them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inferprint import PowerSource, Tracker
from inferprint.errors import ReadingError
from inferprint.sources import amd, apple
from inferprint.sources.cpu_usage import CpuTimes
from support import REPO, run_python

FAKE = REPO / "tests" / "fake_amdsmi"


@pytest.fixture
def smi() -> Any:
    """The stand-in, initialised, with one board."""
    spec = importlib.util.spec_from_file_location("fake_amdsmi", FAKE / "amdsmi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.amdsmi_init()
    return module


def with_fake(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs Python where the package amdsmi is the stand-in."""
    path = os.pathsep.join(filter(None, (str(FAKE), os.environ.get("PYTHONPATH"))))
    return run_python(*args, env={"PYTHONPATH": path, **env})


def test_the_counter_is_read_in_the_drivers_resolution(smi: Any) -> None:
    """Joules are counts by microjoules a count."""
    smi.BOARDS[0].joules = 1000.0
    [source], [finding] = amd.detect(smi, None, 2.0)
    assert isinstance(source, PowerSource)
    (device,) = source.devices()
    assert (device.component, device.name) == ("gpu", "AMD Instinct MI300X")
    (before,) = source.read()
    smi.BOARDS[0].joules = 1250.0
    (after,) = source.read()
    assert after.energy_j - before.energy_j == pytest.approx(250.0, abs=1e-4)
    assert after.device_id == device.id == smi.BOARDS[0].uuid == finding.device
    assert (after.provenance, finding.status, finding.why) == (
        "measured",
        "measured",
        "energy accumulator",
    )


def test_older_drivers_call_the_counter_by_another_name(smi: Any) -> None:
    """As before ROCm 6.2.1."""
    smi.BOARDS[:] = [smi.Board(old=True)]
    smi.BOARDS[0].joules = 5.0
    [source], _ = amd.detect(smi, None, 2.0)
    assert source.read()[0].energy_j == pytest.approx(5.0, abs=1e-4)


def test_a_board_without_a_counter_has_its_power_integrated(smi: Any) -> None:
    """Between readings; what it does not tell, "N/A", is passed over."""
    smi.BOARDS[:] = [smi.Board(counter=False, watts=400.0)]
    [source], [finding] = amd.detect(smi, None, 60.0)
    assert finding.why == "power, integrated"
    (before,) = source.read()
    time.sleep(0.05)
    (after,) = source.read()
    watts = (after.energy_j - before.energy_j) / (after.at_ns - before.at_ns) * 1e9
    assert watts == pytest.approx(400.0)


def test_the_second_die_of_a_board_is_no_device(smi: Any) -> None:
    """The first counts for both: a second device of 0 W would be a lie."""
    smi.BOARDS.append(smi.Board(uuid="second", tells_power=False))
    sources, findings = amd.detect(smi, None, 2.0)
    assert len(sources) == 1
    assert [finding.status for finding in findings] == ["measured", "unreadable"]
    assert "second die" in findings[1].why


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [(None, [0, 1, 2]), ("2,0", [2, 0]), ("", []), ("1,7,0", [1]), ("-1", []), ("0,0", [0])],
)
def test_what_hip_hides_is_not_read(smi: Any, visible: str | None, numbers: list[int]) -> None:
    """In the order in which they are named; a name of none ends the list."""
    smi.BOARDS[:] = [smi.Board(uuid=str(number)) for number in range(3)]
    sources, _ = amd.detect(smi, visible, 2.0)
    assert [int(source.devices()[0].id) for source in sources] == numbers


@pytest.mark.parametrize(("code", "kind"), [(10, "permission"), (34, "driver"), (99, "error")])
def test_a_fault_is_told_by_kind_and_the_board_comes_back(smi: Any, code: int, kind: str) -> None:
    """No reading is made up for it."""
    [source], _ = amd.detect(smi, None, 2.0)
    smi.BOARDS[0].error = code
    with pytest.raises(ReadingError, match="MI300X") as raised:
        source.read()
    assert raised.value.kind == kind
    smi.BOARDS[0].error = 0
    assert source.read()[0].energy_j > 0


def test_a_board_that_may_not_be_read_says_how_to_mend_it(smi: Any) -> None:
    """By the groups of its device files."""
    smi.BOARDS[0].error = smi.NO_PERM
    sources, [finding] = amd.detect(smi, None, 2.0)
    assert sources == []
    assert "usermod -aG render" in finding.mend


def test_a_board_that_tells_no_uuid_has_a_number(smi: Any) -> None:
    """Which is unique on the host too."""
    smi.BOARDS[:] = [smi.Board(uuid=""), smi.Board(uuid="")]
    sources, _ = amd.detect(smi, None, 2.0)
    assert [source.devices()[0].id for source in sources] == ["amd:0", "amd:1"]


def test_the_child_of_a_fork_initialises_the_library_again(smi: Any) -> None:
    """And finds its board."""
    [source], _ = amd.detect(smi, None, 2.0)
    source.read()
    inits = smi.inits
    source._pid = os.getpid() + 1  # as in a child
    assert source.read()[0].energy_j > 0
    assert smi.inits == inits + 1


def test_requests_are_charged_and_two_trackers_find_each_other(smi: Any, tmp_path: Path) -> None:
    """A tracker with AMD's board is one like any other."""
    first, second = (amd.detect(smi, None, 2.0, tmp_path / "locks")[0] for _ in range(2))
    with Tracker(sources=first, exporters=[]) as tracker, Tracker(sources=second) as other:
        with tracker.request("m") as request:
            time.sleep(0.3)
        with other.request("m") as beside:
            time.sleep(0.3)
        energy = request.receipt(timeout=30.0).energy
        assert float(energy.by_component["gpu"].total_j or 0) == pytest.approx(90.0, rel=0.5)
        assert "device_shared" in beside.receipt(timeout=30.0).flags
    found = amd.detect(smi, None, 2.0, tmp_path / "locks")[1]
    assert "another tracker" not in found[0].why


def test_doctor_and_the_settings_know_it(tmp_path: Path) -> None:
    """It is found by itself where the package is installed, and by name."""
    env = {"INFERPRINT_LOCK_FOLDER": str(tmp_path / "locks")}
    result = with_fake("-m", "inferprint", "doctor", "--json", **env)
    rows = [row for row in json.loads(result.stdout)["devices"] if row["source"] == "amdsmi"]
    assert [(row["status"], row["name"]) for row in rows] == [("measured", "AMD Instinct MI300X")]
    assert rows[0]["watts"] == pytest.approx(300.0, rel=0.05)


def test_by_name_and_not_installed_it_is_an_error() -> None:
    """With the command that brings it, or what its library lacks."""
    script = "import inferprint; inferprint.Tracker(inferprint.Config(sources=('amdsmi',)))"
    result = run_python("-c", script)
    assert result.returncode == 1
    assert "inferprint[amd]" in result.stderr
    broken = "import amdsmi; amdsmi.INIT_ERROR = amdsmi.DRIVER_NOT_LOADED; " + script
    result = with_fake("-c", broken)
    assert result.returncode == 1
    assert "AMDSMI_STATUS_34" in result.stderr


# ---- Apple ------------------------------------------------------------------------------


class Monitor:
    """As ``AppleEnergyMonitor`` of zeus-apple-silicon 1.1."""

    def __init__(self, **millijoules: int | None) -> None:
        fields = ("cpu_total_mj", "dram_mj", "gpu_mj", "gpu_sram_mj", "ane_mj")
        self.told = SimpleNamespace(**{**dict.fromkeys(fields), **millijoules})
        self.fails = False

    def get_cumulative_energy(self) -> SimpleNamespace:
        if self.fails:
            raise RuntimeError("IOReport gave nothing")
        return SimpleNamespace(**vars(self.told))


def times() -> CpuTimes:
    return CpuTimes(10.0, 100.0, 4.0)


def test_the_parts_of_apples_chip_are_devices() -> None:
    """CPU and memory with the CPU time that they are shared by; the GPU with its cache."""
    monitor = Monitor(cpu_total_mj=1000, dram_mj=200, gpu_mj=300, gpu_sram_mj=50, ane_mj=7)
    source = apple.AppleSource(monitor, times, threads=8)
    assert isinstance(source, PowerSource)
    joules = {reading.device_id: reading.energy_j for reading in source.read()}
    assert joules == {
        "gpu:apple": 0.35,
        "gpu:apple-ane": 0.007,
        "cpu:apple": 1.0,
        "dram:apple": 0.2,
    }
    own = {reading.device_id: reading.own_s for reading in source.read()}
    assert own == {"gpu:apple": None, "gpu:apple-ane": None, "cpu:apple": 4.0, "dram:apple": 4.0}
    assert [device.component for device in source.devices()] == ["gpu", "gpu", "cpu", "dram"]
    assert {finding.status for finding in apple.findings(source)} == {"measured"}


def test_what_a_chip_does_not_tell_is_no_device() -> None:
    """Unknown is not 0."""
    monitor = Monitor(cpu_total_mj=1000, gpu_mj=300)
    source = apple.AppleSource(monitor, times)
    assert [device.id for device in source.devices()] == ["gpu:apple", "cpu:apple"]
    monitor.told.gpu_mj = None
    assert [reading.device_id for reading in source.read()] == ["cpu:apple"]


def test_a_fault_of_the_package_is_a_fault_of_the_reading() -> None:
    """Which the tracker counts."""
    source = apple.AppleSource(monitor := Monitor(cpu_total_mj=1), times)
    monitor.fails = True
    with pytest.raises(ReadingError, match="IOReport"):
        source.read()


def test_it_is_not_looked_for_elsewhere_but_can_be_named() -> None:
    """On Linux, by name, the error says what brings it."""
    script = "import inferprint; inferprint.Tracker(inferprint.Config(sources=('apple',)))"
    result = run_python("-c", script)
    assert result.returncode == 1
    assert "inferprint[apple]" in result.stderr
    assert sys.platform == "linux"
