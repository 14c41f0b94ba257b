"""Power rails of Grace CPUs and Jetson modules, on trees of files as their makers document them."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferprint import Config, PowerSource, Tracker
from inferprint.errors import ReadingError
from inferprint.sources.cpu_usage import CpuTimes
from inferprint.sources.detect import _Detector
from inferprint.sources.host import Host
from inferprint.sources.hwmon import HwmonSource, find_rails, findings
from inferprint.testing import FakeClock
from support import run_python


def times() -> CpuTimes:
    return CpuTimes(10.0, 100.0, 4.0)


def files(folder: Path, **contents: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_text(f"{content}\n")


def grace_hopper(root: Path) -> Path:
    """As the tuning guide shows it: ACPI power meters, whose files are those of their device."""
    rails = {"Module": 500, "Grace": 180, "CPU": 120, "SysIO": 20}
    for number, (name, watts) in enumerate(rails.items()):
        folder = root / f"hwmon{number}"
        files(folder, name="power_meter")
        files(
            folder / "device",
            power1_oem_info=f"{name} Power Socket 0",
            power1_average=watts * 1_000_000,
        )
    return root


def jetson(root: Path, *labels: str) -> Path:
    """An INA3221 with three channels, beside a temperature sensor."""
    files(root / "hwmon0", name="tmp451", temp1_input=40_000)
    files(root / "hwmon1", name="ina3221")
    for channel, label in enumerate(labels, start=1):
        rail = {f"in{channel}_label": label, f"in{channel}_input": 5_000}
        files(root / "hwmon1", **rail, **{f"curr{channel}_input": channel * 1_000})
    return root


def test_a_grace_socket_is_the_cpu_with_its_memory(tmp_path: Path) -> None:
    """Its parts are not counted beside it, and the module is a meter of the whole."""
    rails = find_rails(grace_hopper(tmp_path), threads=72)
    assert [(rail.device.id, rail.device.component, rail.watts()) for rail in rails] == [
        ("wall:module-0", "wall", 500.0),
        ("cpu:grace-0", "cpu", 180.0),
    ]
    assert [rail.device.capacity for rail in rails] == [1.0, 72.0]
    assert {finding.status for finding in findings(rails)} == {"measured"}


def test_memory_is_not_modelled_beside_a_grace_socket(tmp_path: Path) -> None:
    """Nor is the CPU: both would be counted twice."""
    host = Host("Linux", "Neoverse-V2", 1, 72, virtual=False, container=False)
    found = _Detector(Config(), host, times)
    found._hwmon_root = grace_hopper(tmp_path)
    for name in ("hwmon", "cpu_model", "dram_model"):
        found.look_for(name)
    assert [type(source) for source in found.sources] == [HwmonSource]


@pytest.mark.parametrize(
    ("labels", "devices"),
    [
        (
            ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
            [("gpu:VDD_GPU_SOC", 5.0), ("cpu:VDD_CPU_CV", 10.0)],
        ),
        (
            ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
            [("wall:VDD_IN", 5.0), ("gpu:VDD_CPU_GPU_CV", 10.0)],
        ),
    ],
)
def test_the_rails_of_a_jetson_are_devices_by_their_names(
    tmp_path: Path, labels: tuple[str, ...], devices: list[tuple[str, float]]
) -> None:
    """AGX Orin and Orin NX; volts by amperes."""
    rails = find_rails(jetson(tmp_path, *labels))
    assert [(rail.device.id, rail.watts()) for rail in rails] == devices


def test_power_is_integrated_and_the_cpu_knows_whose_time_it_was(tmp_path: Path) -> None:
    """By the trapezoid between two readings."""
    clock = FakeClock()
    rails = find_rails(jetson(tmp_path, "VDD_GPU_SOC", "VDD_CPU_CV"))
    source = HwmonSource(rails, times, clock=clock.now_ns)
    assert isinstance(source, PowerSource)
    gpu, cpu = source.read()
    (tmp_path / "hwmon1" / "curr1_input").write_text("3000\n")
    clock.advance(1.0)
    gpu_after, cpu_after = source.read()
    assert gpu_after.energy_j - gpu.energy_j == pytest.approx((5.0 + 15.0) / 2)
    assert cpu_after.energy_j - cpu.energy_j == pytest.approx(10.0)
    assert (gpu.own_s, cpu.own_s, cpu.busy_s) == (None, 4.0, 10.0)


def test_a_rail_that_fails_is_left_out_and_counts_nothing_meanwhile(tmp_path: Path) -> None:
    """It comes back as a counter that was reset; with none left, that is a fault."""
    clock = FakeClock()
    source = HwmonSource(
        find_rails(jetson(tmp_path, "VDD_GPU_SOC", "VDD_CPU_CV")), times, clock=clock.now_ns
    )
    (before, _) = source.read()
    current = tmp_path / "hwmon1" / "curr1_input"
    current.write_text("")
    clock.advance(1.0)
    assert [reading.device_id for reading in source.read()] == ["cpu:VDD_CPU_CV"]
    current.write_text("1000\n")
    clock.advance(1.0)
    assert source.read()[0].energy_j < before.energy_j
    for channel in (1, 2):
        (tmp_path / "hwmon1" / f"in{channel}_input").unlink()
    with pytest.raises(ReadingError):
        source.read()


def test_the_module_is_compared_with_its_parts(tmp_path: Path) -> None:
    """What it has above the CPU's socket is the GPU and the rest, on a line of its own."""
    clock = FakeClock()
    source = HwmonSource(find_rails(grace_hopper(tmp_path)), times, 60.0, clock.now_ns)
    with Tracker(sources=[source], exporters=[], clock=clock) as tracker:
        clock.advance(10.0)
        tracker.sample()
        assert tracker.balance().devices["cpu:grace-0"].measured_j == pytest.approx(1800.0)
        assert tracker.balance().meters["wall:module-0"].rest_j == pytest.approx(3200.0)


def test_elsewhere_there_are_none(tmp_path: Path) -> None:
    """No folder, no sensors, other sensors; by name it is an error that says so."""
    files(tmp_path / "hwmon0", name="coretemp", power1_average=1)
    assert find_rails(tmp_path) == find_rails(tmp_path / "gone") == []
    script = "import inferprint; inferprint.Tracker(inferprint.Config(sources=('hwmon',)))"
    result = run_python("-c", script)
    assert result.returncode == 1
    assert "Grace" in result.stderr
