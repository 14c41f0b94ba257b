"""The RAPL source on trees of files: which domains count, wraps, resets, faults."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.errors import ReadingError
from inferprint.records import Reading
from inferprint.sources import PowerSource
from inferprint.sources.cpu_usage import CpuTimes
from inferprint.sources.findings import Finding
from inferprint.sources.host import Host
from inferprint.sources.rapl import CEILING_W, EnergyCounter, RaplSource
from inferprint.sources.rapl_zones import find_zones
from inferprint.testing import FakeClock
from inferprint.units import NS_PER_S
from powercap import PowercapTree

HOST = Host("Linux", "Intel(R) Xeon(R) Gold 6338", 2, 128, virtual=False, container=False)
RANGE_UJ = 65_532_610_987
"""What AMD's counter counts to: 2^32 steps of 15.3 microjoules."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(start_s=1000.0)


def times() -> CpuTimes:
    return CpuTimes(busy_s=300.0, total_s=1000.0, own_s=12.5)


def source_of(tree: PowercapTree, clock: FakeClock) -> RaplSource:
    zones, _ = find_zones(tree.root, HOST)
    return RaplSource(zones, times, clock.now_ns)


def joules(source: RaplSource) -> dict[str, float]:
    return {reading.device_id: reading.energy_j for reading in source.read()}


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1
    return findings[0]


def test_packages_and_their_dram_are_devices(tmp_path: Path, clock: FakeClock) -> None:
    """A server of two sockets has two packages and two DRAM domains, with stable ids."""
    source = source_of(PowercapTree("intel_two_sockets", tmp_path), clock)
    assert isinstance(source, PowerSource)
    assert {device.id: device.component for device in source.devices()} == {
        "cpu:package-0": "cpu",
        "dram:package-0": "dram",
        "cpu:package-1": "cpu",
        "dram:package-1": "dram",
    }
    assert all(device.step_s is None and device.idle_w is None for device in source.devices())


def test_the_error_of_dram_is_wider_than_that_of_a_package(
    tmp_path: Path, clock: FakeClock
) -> None:
    """Every device carries a published error: 5.6 % for packages, 30 % for DRAM."""
    source = source_of(PowercapTree("intel_two_sockets", tmp_path), clock)
    errors = {device.id: device.relative_error for device in source.devices()}
    assert errors["cpu:package-0"] == 0.056
    assert errors["dram:package-0"] == 0.30


def test_what_a_package_contains_is_not_counted_again(tmp_path: Path) -> None:
    """On a laptop core, uncore, psys and the MMIO copy are left out: one package remains."""
    zones, findings = find_zones(PowercapTree("intel_laptop", tmp_path).root, HOST)
    assert [zone.device.id for zone in zones] == ["cpu:package-0"]
    assert zones[0].energy_file.parent.name == "intel-rapl:0"
    assert only(findings).status == "measured"


def test_amd_has_a_package_and_no_dram(tmp_path: Path) -> None:
    """AMD shows the same tree; that its error is not published is said."""
    host = Host("Linux", "AMD EPYC 7763 64-Core Processor", 1, 128, virtual=False, container=False)
    zones, findings = find_zones(PowercapTree("amd_epyc", tmp_path).root, host)
    assert [zone.device.component for zone in zones] == ["cpu"]
    assert "unpublished error" in only(findings).why


def test_dies_that_show_one_meter_count_once(tmp_path: Path) -> None:
    """Zen 1 shows the socket's counter on each die: the second is named and left out."""
    zones, findings = find_zones(PowercapTree("amd_threadripper", tmp_path).root, HOST)
    assert [zone.device.id for zone in zones] == ["cpu:package-0-die-0"]
    assert [finding.status for finding in findings] == ["measured", "absent"]
    assert "package-0-die-0" in findings[1].why


def test_dies_with_their_own_meters_all_count(tmp_path: Path) -> None:
    """Dies whose counters differ by more than the time between two looks explains add up."""
    tree = PowercapTree("amd_threadripper", tmp_path)
    tree.add_energy("intel-rapl:1", 50.0)
    zones, _ = find_zones(tree.root, HOST)
    assert [zone.device.id for zone in zones] == ["cpu:package-0-die-0", "cpu:package-0-die-1"]


def test_sockets_count_even_when_their_counters_are_equal(tmp_path: Path) -> None:
    """Two sockets never share a meter, so equal counters are a coincidence."""
    tree = PowercapTree("intel_two_sockets", tmp_path)
    tree.set_energy("intel-rapl:1", 141_337_000_000)
    zones, _ = find_zones(tree.root, HOST)
    assert len(zones) == 4


@pytest.mark.parametrize("mount", [".", ".."])
def test_a_mounted_control_folder_is_a_root_too(tmp_path: Path, mount: str) -> None:
    """Containers mount `powercap/intel-rapl` or `powercap`: both work as powercap_root."""
    tree = PowercapTree("intel_two_sockets", tmp_path)
    zones, _ = find_zones(tree.control() / mount, HOST)
    assert [zone.device.id for zone in zones][:2] == ["cpu:package-0", "dram:package-0"]


def test_packages_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Number 10 comes after number 2, which the order of the names would swap."""
    for number in (10, 2, 0):
        folder = tmp_path / f"intel-rapl:{number}"
        folder.mkdir()
        (folder / "name").write_text(f"package-{number}\n")
        (folder / "energy_uj").write_text("1\n")
    zones, _ = find_zones(tmp_path, HOST)
    assert [zone.device.id for zone in zones] == [f"cpu:package-{n}" for n in (0, 2, 10)]


def test_a_read_tells_what_was_used_since(tmp_path: Path, clock: FakeClock) -> None:
    """Joules follow the counters, at the instant of the clock, with the host's CPU times."""
    tree = PowercapTree("intel_two_sockets", tmp_path)
    source = source_of(tree, clock)
    before = joules(source)
    clock.advance(2.0)
    tree.add_energy("intel-rapl:0", 250.0)
    tree.add_energy("intel-rapl:1:0", 20.0)
    after = {reading.device_id: reading for reading in source.read()}
    source.close()
    assert after["cpu:package-0"] == Reading(
        "cpu:package-0", clock.now_ns(), before["cpu:package-0"] + 250.0, "measured", 300.0, 12.5
    )
    used = {name: after[name].energy_j - before[name] for name in before}
    assert used["dram:package-1"] == pytest.approx(20.0)
    assert used["cpu:package-1"] == used["dram:package-0"] == 0.0


def test_a_wrap_is_bridged(tmp_path: Path, clock: FakeClock) -> None:
    """A counter that passes its range goes on: 3 J before it and 5 J after it are 8 J."""
    tree = PowercapTree("amd_epyc", tmp_path)
    tree.set_energy("intel-rapl:0", RANGE_UJ - 3_000_000)
    source = source_of(tree, clock)
    before = joules(source)["cpu:package-0"]
    clock.advance(0.1)
    tree.set_energy("intel-rapl:0", 5_000_000)
    after = joules(source)["cpu:package-0"]
    source.close()
    assert after - before == pytest.approx(8.0)


def test_a_reset_shows_as_a_decrease(tmp_path: Path, clock: FakeClock) -> None:
    """From the middle of its range a counter can't have wrapped: nothing is invented."""
    tree = PowercapTree("amd_epyc", tmp_path)
    source = source_of(tree, clock)
    before = joules(source)["cpu:package-0"]
    clock.advance(0.1)
    tree.set_energy("intel-rapl:0", 2_000_000)
    reset = joules(source)["cpu:package-0"]
    clock.advance(0.1)
    tree.add_energy("intel-rapl:0", 7.0)
    after = joules(source)["cpu:package-0"]
    source.close()
    assert reset < before
    assert after - reset == pytest.approx(7.0)


def test_a_counter_of_unknown_range_never_wraps(tmp_path: Path, clock: FakeClock) -> None:
    """Without max_energy_range_uj any decrease is a reset."""
    tree = PowercapTree("amd_epyc", tmp_path)
    tree.file("intel-rapl:0", "max_energy_range_uj").unlink()
    tree.set_energy("intel-rapl:0", RANGE_UJ - 1)
    source = source_of(tree, clock)
    before = joules(source)["cpu:package-0"]
    clock.advance(0.1)
    tree.set_energy("intel-rapl:0", 1)
    after = joules(source)["cpu:package-0"]
    source.close()
    assert after < before


@given(
    start_uj=st.integers(0, RANGE_UJ - 1),
    steps=st.lists(
        st.tuples(st.integers(1, 60 * NS_PER_S), st.floats(0.0, CEILING_W)), max_size=30
    ),
)
def test_the_count_is_the_true_energy_over_any_wraps(
    start_uj: int, steps: list[tuple[int, float]]
) -> None:
    """At any power up to the ceiling and any interval up to a minute, nothing is lost."""
    counter, at_ns, true_uj = EnergyCounter(RANGE_UJ), 0, start_uj
    first = last = counter.advance(start_uj, 0)
    for elapsed_ns, watts in steps:
        at_ns += elapsed_ns
        true_uj += int(watts * elapsed_ns / 1000)
        last = counter.advance(true_uj % RANGE_UJ, at_ns)
    assert last - first == pytest.approx((true_uj - start_uj) / 1e6, abs=1e-6)


@given(
    before_uj=st.integers(1, RANGE_UJ - 1),
    after_uj=st.integers(0, RANGE_UJ - 1),
    elapsed_ns=st.integers(1, 600 * NS_PER_S),
)
def test_a_counter_that_went_back_invents_nothing(
    before_uj: int, after_uj: int, elapsed_ns: int
) -> None:
    """Whatever it comes back as, the advance needs no more than the ceiling's power."""
    counter = EnergyCounter(RANGE_UJ)
    first = counter.advance(before_uj, 0)
    advance_j = counter.advance(min(before_uj, after_uj), elapsed_ns) - first
    assert advance_j <= CEILING_W * (elapsed_ns / NS_PER_S + 1)


def test_a_gap_that_may_hide_a_whole_turn_is_unknown() -> None:
    """After ten minutes 65 kJ may have passed unseen: the count goes back, also from above."""
    counter = EnergyCounter(RANGE_UJ)
    before = counter.advance(10_000_000, 0)
    assert counter.advance(20_000_000, 600 * NS_PER_S) < before


def test_a_domain_that_fails_is_left_out_and_tried_again(tmp_path: Path, clock: FakeClock) -> None:
    """The others go on; when it is back, what it counted meanwhile is in its next reading."""
    tree = PowercapTree("intel_two_sockets", tmp_path)
    source = source_of(tree, clock)
    before = joules(source)
    tree.file("intel-rapl:0").write_text("not a number\n")
    clock.advance(1.0)
    assert set(joules(source)) == set(before) - {"cpu:package-0"}
    tree.set_energy("intel-rapl:0", 141_337_000_000 + 90_000_000)
    clock.advance(1.0)
    after = joules(source)
    source.close()
    assert after["cpu:package-0"] - before["cpu:package-0"] == pytest.approx(90.0)


def test_a_file_that_was_replaced_is_opened_again(tmp_path: Path, clock: FakeClock) -> None:
    """After a fault the path is opened anew, as a reloaded kernel module needs."""
    tree = PowercapTree("amd_epyc", tmp_path)
    source = source_of(tree, clock)
    before = joules(source)["cpu:package-0"]
    tree.file("intel-rapl:0").write_text("")
    with pytest.raises(ReadingError):
        source.read()
    tree.file("intel-rapl:0").unlink()
    tree.set_energy("intel-rapl:0", 40_170_000_000 + 1_000_000)
    clock.advance(1.0)
    after = joules(source)["cpu:package-0"]
    source.close()
    assert after - before == pytest.approx(1.0)


def test_no_readable_domain_is_a_reading_error(tmp_path: Path, clock: FakeClock) -> None:
    """Its kind is `permission` where that was withdrawn, so that metrics can tell."""
    tree = PowercapTree("amd_epyc", tmp_path)
    source = source_of(tree, clock)
    tree.deny("intel-rapl:0")
    with pytest.raises(ReadingError, match="Permission denied") as caught:
        source.read()
    assert caught.value.kind == "permission"


def test_files_stay_open_between_reads_and_close(tmp_path: Path, clock: FakeClock) -> None:
    """A file is opened once: one that is unlinked is still read until `close`."""
    tree = PowercapTree("amd_epyc", tmp_path)
    source = source_of(tree, clock)
    before = joules(source)
    tree.file("intel-rapl:0").unlink()
    clock.advance(0.1)
    assert joules(source) == before
    source.close()
    with pytest.raises(ReadingError):
        source.read()


def test_a_counter_that_may_not_be_read_names_the_command(tmp_path: Path) -> None:
    """The finding is `unreadable`, says since when, and gives a command."""
    tree = PowercapTree("amd_epyc", tmp_path)
    tree.deny("intel-rapl:0")
    zones, findings = find_zones(tree.root, HOST)
    assert zones == []
    assert only(findings).status == "unreadable"
    assert "CVE-2020-8694" in only(findings).why
    assert only(findings).mend.startswith(f"sudo chmod a+r {tree.root}/")


def test_the_command_makes_every_counter_readable(tmp_path: Path) -> None:
    """Run as it is given, it opens the counters and ranges of packages and of DRAM to all."""
    denied, shut = (PowercapTree("intel_two_sockets", tmp_path / name) for name in ("a", "b"))
    files = [*shut.control().rglob("energy_uj"), *shut.control().rglob("max_energy_range_uj")]
    for file in files:
        file.chmod(0o400)
    denied.deny("intel-rapl:0")
    command = find_zones(denied.root, HOST)[1][0].mend.replace(str(denied.root), str(shut.root))
    subprocess.run(["sh", "-c", command.removeprefix("sudo ")], check=True, timeout=10)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o444}
    assert len(files) == 8


def test_one_unreadable_domain_does_not_hide_the_others(tmp_path: Path) -> None:
    """Three of four domains are read, and the fourth is told."""
    tree = PowercapTree("intel_two_sockets", tmp_path)
    tree.deny("intel-rapl:1")
    zones, findings = find_zones(tree.root, HOST)
    assert "cpu:package-1" not in {zone.device.id for zone in zones}
    assert {f.device: f.status for f in findings}["cpu:package-1"] == "unreadable"
    assert len(zones) == 3


def test_a_broken_counter_is_unreadable(tmp_path: Path) -> None:
    """A folder or a word in place of the counter is told with what was found."""
    tree = PowercapTree("intel_two_sockets", tmp_path)
    tree.file("intel-rapl:0").write_text("unavailable\n")
    tree.file("intel-rapl:1").unlink()
    tree.file("intel-rapl:1").mkdir()
    findings = {finding.device: finding for finding in find_zones(tree.root, HOST)[1]}
    assert "unavailable" in findings["cpu:package-0"].why
    assert "Is a directory" in findings["cpu:package-1"].why


def test_masked_counters_name_the_mount(tmp_path: Path) -> None:
    """Container runtimes hide what the class folder's links point to: a mount mends it."""
    (tmp_path / "intel-rapl:0").symlink_to(tmp_path / "masked")
    zones, findings = find_zones(tmp_path, HOST)
    assert zones == []
    assert only(findings).status == "unreadable"
    assert "INFERPRINT_POWERCAP_ROOT" in only(findings).mend


@pytest.mark.parametrize(
    ("system", "virtual", "container", "why", "mend"),
    [
        ("Linux", False, False, "intel_rapl_msr", "sudo modprobe intel_rapl_msr"),
        ("Linux", False, True, "container", "docker run"),
        ("Linux", True, True, "hypervisor", ""),
        ("Darwin", False, False, "Darwin", ""),
    ],
)
def test_no_domain_at_all_says_why(
    tmp_path: Path, system: str, virtual: bool, container: bool, why: str, mend: str
) -> None:
    """Each kind of machine without RAPL gets its own reason, and a command where one helps."""
    host = Host(system, "CPU", 1, 2, virtual=virtual, container=container)
    zones, findings = find_zones(tmp_path / "none", host)
    assert zones == []
    found = only(findings)
    assert found.status == "absent"
    assert why in found.why
    assert found.mend.startswith(mend)
    assert bool(found.mend) == bool(mend)
