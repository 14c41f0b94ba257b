"""The NVML source, by the real pynvml and the stand-in library: detection and reading."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest

from nvml_sim import SimGpu, Simulator, simulated
from support import run_python

NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, TIMEOUT = 3, 4, 9, 10
ENERGY = "nvmlDeviceGetTotalEnergyConsumption"
OPTIONAL = (
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetHandleByUUID",
    "nvmlDeviceGetProcessUtilization",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetPowerUsage",
)


@simulated(SimGpu(power_w=300.0, step_ms=0, counter_j=5e6), SimGpu(power_w=50.0, step_ms=0))
def test_every_board_is_a_source_that_reads_its_own_counter(sim: Simulator) -> None:
    """A reading holds the true energy of its board between the instants around the call."""
    from inferprint.sources import PowerSource, nvml

    sources, findings = nvml.detect(None)
    assert [finding.status for finding in findings] == ["measured", "measured"]
    assert [source.devices()[0].id for source in sources] == [sim.uuid(0), sim.uuid(1)]
    assert all(isinstance(source, PowerSource) for source in sources)
    for gpu, (source, start_j) in enumerate(zip(sources, (5e6, 0.0), strict=True)):
        [reading] = source.read()
        low_j, high_j = sim.true_energy_j(gpu, reading.at_ns), sim.true_energy_j(gpu)
        assert low_j - 0.001 <= reading.energy_j - start_j <= high_j + 1e-6
        assert reading.provenance == "measured"
        source.close()


@simulated(SimGpu(name="NVIDIA L40S"), SimGpu(name="NVIDIA T4"))
def test_a_device_says_what_its_readings_are_worth(sim: Simulator) -> None:
    """The step of the counter, the gain error, and idle watts only where a table has them."""
    from inferprint.sources import nvml

    (l40s,), (t4,) = (source.devices() for source in nvml.detect(None)[0])
    assert (l40s.component, l40s.name, l40s.step_s) == ("gpu", "NVIDIA L40S", 0.1)
    assert l40s.relative_error == 0.05
    assert l40s.idle_w is None
    assert l40s.flags == frozenset()
    assert (l40s.tabled_idle_w, t4.tabled_idle_w) == (102.1, None)


@simulated(SimGpu(power_w=300.0))
def test_a_read_is_one_energy_call(sim: Simulator) -> None:
    """Nothing else is asked of the driver each time, and never which processes run."""
    from inferprint.sources import nvml

    [source], _ = nvml.detect(None)
    source.read()
    before = sim.calls(ENERGY)
    for _ in range(100):
        source.read()
    assert sim.calls(ENERGY) - before == 100
    looks = sim.calls("nvmlDeviceGetProcessUtilization")
    assert 1 <= looks <= 4  # pynvml calls once for the size and once for the samples
    assert sim.calls("nvmlDeviceGetFieldValues") == 0
    assert sim.calls("nvmlDeviceGetPowerUsage") == 0
    assert sim.calls("nvmlDeviceGetComputeRunningProcesses_v3") == 0


@simulated(SimGpu(power_w=200.0))
def test_without_a_counter_instant_power_is_integrated(sim: Simulator) -> None:
    """The trapezoid is true but for the time between readings in which power changed."""
    from inferprint.sources import nvml

    sim.fail(ENERGY, NOT_SUPPORTED)
    [source], [finding] = nvml.detect(None)
    assert "instant power" in finding.why
    assert source.devices()[0].step_s is None
    readings = [source.read()[0]]
    for watts in (200.0, 600.0, 300.0):
        sim.set_power(0, watts)
        for _ in range(20):
            time.sleep(0.005)
            readings.append(source.read()[0])
    first, last = readings[0], readings[-1]
    true_j = sim.true_energy_j(0, last.at_ns) - sim.true_energy_j(0, first.at_ns)
    longest_s = max(after.at_ns - before.at_ns for before, after in pairwise(readings)) / 1e9
    steps_w = (600.0 - 200.0) + (600.0 - 300.0)
    assert true_j > 60.0
    assert abs(last.energy_j - first.energy_j - true_j) <= steps_w / 2 * longest_s
    assert sim.calls("nvmlDeviceGetPowerUsage") == 0


@simulated(SimGpu(power_w=200.0))
def test_without_instant_power_mean_power_is_integrated(sim: Simulator) -> None:
    """The last resort; the finding says that it lags."""
    from inferprint.sources import nvml

    sim.fail(ENERGY, NOT_SUPPORTED)
    sim.fail("NVML_FI_DEV_POWER_INSTANT", NOT_SUPPORTED, gpu=0)
    [source], [finding] = nvml.detect(None, max_gap_s=1e9)
    assert "mean of the last second" in finding.why
    first = source.read()[0]
    time.sleep(0.1)
    last = source.read()[0]
    watts = (last.energy_j - first.energy_j) / (last.at_ns - first.at_ns) * 1e9
    assert abs(watts - 200.0) < 0.01


@simulated(SimGpu(power_w=200.0))
def test_power_is_not_integrated_over_a_gap(sim: Simulator) -> None:
    """Nobody looked for longer than max_gap_s: it begins anew, as a counter that was reset."""
    from inferprint.sources import nvml

    sim.fail(ENERGY, NOT_SUPPORTED)
    [source], _ = nvml.detect(None, max_gap_s=0.5)
    before = source.read()[0]
    time.sleep(0.6)
    after = source.read()[0]
    time.sleep(0.02)
    later = source.read()[0]
    assert after.energy_j < before.energy_j
    assert abs(later.energy_j - after.energy_j - 0.2 * (later.at_ns - after.at_ns) / 1e6) < 1e-6


@simulated(SimGpu(power_w=200.0))
def test_power_is_not_integrated_across_a_failed_read(sim: Simulator) -> None:
    """What happened around a reading that failed is not made up: it reads as a reset."""
    from inferprint.errors import ReadingError
    from inferprint.sources import nvml

    sim.fail(ENERGY, NOT_SUPPORTED)
    [source], _ = nvml.detect(None)
    before = source.read()[0]
    sim.fail("nvmlDeviceGetFieldValues", TIMEOUT, gpu=0)
    with pytest.raises(ReadingError):
        source.read()
    sim.fail("nvmlDeviceGetFieldValues", 0, gpu=0)
    after = source.read()[0]
    time.sleep(0.02)
    assert after.energy_j < before.energy_j
    assert source.read()[0].energy_j > after.energy_j


@simulated(SimGpu(power_w=200.0, step_ms=0, counter_j=1000.0))
def test_a_reset_counter_is_seen_to_decrease(sim: Simulator) -> None:
    """It is for the windows to know a reset; the source shows what the counter shows."""
    from inferprint.sources import nvml

    [source], _ = nvml.detect(None)
    before = source.read()[0]
    sim.reset_counter(0)
    after = source.read()[0]
    assert before.energy_j >= 1000.0
    assert after.energy_j < 10.0


@simulated(SimGpu(mig=3), SimGpu(mig=0))
def test_mig_reads_the_board_and_says_so(sim: Simulator) -> None:
    """An instance's energy can't be told apart: name, flag and finding tell of the sharing."""
    from inferprint.flags import MIG_SHARED
    from inferprint.sources import nvml

    sources, findings = nvml.detect(None)
    device = sources[0].devices()[0]
    assert device.id == sim.uuid(0)
    assert "shared by 3 MIG instances" in device.name
    assert device.flags == {MIG_SHARED}
    assert "one MIG instance can't be told apart" in findings[0].why
    assert findings[0].status == "measured"
    [reading] = sources[0].read()
    assert (reading.provenance, reading.busy_s, reading.own_s) == ("measured", None, None)
    assert "shared by 0 MIG instances" in findings[1].name


@simulated(SimGpu(), SimGpu(mig=3), SimGpu())
def test_a_mig_instance_stands_for_its_board(sim: Simulator) -> None:
    """CUDA_VISIBLE_DEVICES names instances; two of one board are one source."""
    from inferprint.sources import nvml

    visible = f"{sim.mig_uuid(1, 2)},{sim.mig_uuid(1, 0)}"
    sources, _ = nvml.detect(visible)
    assert [source.devices()[0].id for source in sources] == [sim.uuid(1)]


@simulated(SimGpu(), SimGpu())
def test_hidden_boards_are_not_read(sim: Simulator) -> None:
    """An empty CUDA_VISIBLE_DEVICES hides all, and the finding says why there is none."""
    from inferprint.sources import nvml

    sources, [finding] = nvml.detect("")
    assert sources == []
    assert finding.status == "absent"
    assert "CUDA_VISIBLE_DEVICES=''" in finding.why
    assert "0 of 2" in finding.why


@simulated(SimGpu(name="NVIDIA L4"), SimGpu(name="NVIDIA H100 80GB HBM3"))
def test_an_index_among_different_boards_is_doubtful(sim: Simulator) -> None:
    """CUDA counts the fastest first, NVML by bus: the finding says so, but not for a UUID."""
    from inferprint.sources import nvml

    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in nvml.detect("0")[1][0].mend
    assert nvml.detect(sim.uuid(0))[1][0].mend == ""
    assert nvml.detect(None)[1][0].mend == ""


@simulated(SimGpu(), SimGpu(), SimGpu())
def test_one_broken_board_hides_no_other(sim: Simulator) -> None:
    """A lost board is a finding; indices still count it, as CUDA does."""
    from inferprint.sources import nvml

    sim.lose(1)
    sources, findings = nvml.detect(None)
    assert [source.devices()[0].id for source in sources] == [sim.uuid(0), sim.uuid(2)]
    assert [finding.status for finding in findings] == ["measured", "unreadable", "measured"]
    assert findings[1].device == "gpu:1"
    assert "nvidia-smi --gpu-reset" in findings[1].mend
    assert nvml.detect("2")[0][0].devices()[0].id == sim.uuid(2)


@simulated(SimGpu())
def test_a_board_without_any_meter_is_unreadable(sim: Simulator) -> None:
    """No figure is made up for it; a missing permission comes with the command."""
    from inferprint.sources import nvml

    for function in (ENERGY, "nvmlDeviceGetFieldValues", "nvmlDeviceGetPowerUsage"):
        sim.fail(function, NO_PERMISSION, gpu=0)
    sources, [finding] = nvml.detect(None)
    assert sources == []
    assert (finding.status, finding.device) == ("unreadable", sim.uuid(0))
    assert "Insufficient Permissions" in finding.why
    assert finding.mend.startswith("sudo chmod a+rw /dev/nvidia")


@simulated()
def test_a_driver_that_does_not_answer_is_unreadable(sim: Simulator) -> None:
    """It is there, so it is not absent; the command depends on what it says."""
    from inferprint.sources import nvml

    for error, command in ((NO_PERMISSION, "sudo chmod"), (DRIVER_NOT_LOADED, "sudo modprobe")):
        sim.fail("nvmlInitWithFlags", error)
        sources, [finding] = nvml.detect(None)
        assert sources == []
        assert finding.status == "unreadable"
        assert command in finding.mend


def test_no_driver_library_is_absent() -> None:
    """A machine without NVIDIA's driver: one finding, no error, no source."""
    script = (
        "import dataclasses, json; from inferprint.sources import nvml; s, f = nvml.detect(None);"
        "print(json.dumps([len(s), *map(dataclasses.asdict, f)]))"
    )
    result = run_python("-c", script, env={"LD_LIBRARY_PATH": ""})
    assert result.returncode == 0, result.stderr
    sources, finding = json.loads(result.stdout)
    assert sources == 0
    assert finding["status"] in {"absent", "unreadable"}
    assert finding["mend"]


@simulated(SimGpu(power_w=120.0, step_ms=0), SimGpu(), without=OPTIONAL)
def test_an_old_driver_without_the_optional_calls_is_read(sim: Simulator) -> None:
    """Only the count of joules is needed: what else is missing is done without."""
    from inferprint.errors import ReadingError
    from inferprint.sources import nvml

    sources, findings = nvml.detect(None)
    assert [source.devices()[0].id for source in sources] == ["gpu:0", "gpu:1"]
    assert [finding.status for finding in findings] == ["measured", "measured"]
    [reading] = sources[0].read()
    assert reading.energy_j <= sim.true_energy_j(0)
    assert (reading.busy_s, reading.own_s) == (None, None)
    sim.load_driver()
    with pytest.raises(ReadingError, match="Uninitialized"):
        sources[0].read()
    assert sources[0].read()[0].energy_j < 10.0


@simulated(without=(ENERGY,))
def test_a_driver_without_the_energy_call_is_read_by_power(sim: Simulator) -> None:
    """A symbol that the library lacks is like a counter that the board lacks."""
    from inferprint.sources import nvml

    _, [finding] = nvml.detect(None)
    assert "instant power" in finding.why


@simulated(SimGpu(), SimGpu())
def test_nvml_is_let_go_as_often_as_it_was_taken(sim: Simulator) -> None:
    """Its users are counted; a second close gives back nothing that is another's."""
    from inferprint.sources import nvml

    sources, _ = nvml.detect(None)
    for source in sources:
        source.read()
        source.close()
        source.close()
    assert sim.calls("nvmlInitWithFlags") == sim.calls("nvmlShutdown") == 3


@simulated()
def test_detection_keeps_nvml_for_its_sources(sim: Simulator) -> None:
    """Starting NVML is slow: it is not stopped between detection and the first reading."""
    from inferprint.sources import nvml

    [source], _ = nvml.detect(None)
    starts = sim.calls("nvmlInitWithFlags")
    source.read()
    assert sim.calls("nvmlInitWithFlags") == starts
