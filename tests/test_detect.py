"""Detection: which source stands for which component, and what is said of the rest."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from inferprint._config import Config, visible_gpus
from inferprint.errors import ConfigError, SourceUnavailable
from inferprint.sources import PowerSource
from inferprint.sources.detect import SOURCE_NAMES, Detection, detect
from inferprint.sources.findings import Finding
from inferprint.sources.host import Host, read_host
from powercap import PowercapTree

HOST = Host("Linux", "AMD EPYC 7763 64-Core Processor", 1, 128, virtual=False, container=False)

CPUINFO = """\
processor\t: {number}
model name\t: Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz
physical id\t: {package}
flags\t\t: fpu vme sse2 {flag} aes
"""


def at(root: Path, *sources: str) -> Config:
    return Config(powercap_root=str(root), sources=sources or None)


def devices(detection: Detection, component: str) -> dict[str, str]:
    """Provenance of a first reading by device, after which the sources are closed."""
    found = {
        reading.device_id: reading.provenance
        for source in detection.sources
        if source.devices()[0].component != "gpu"
        for reading in source.read()
    }
    for source in detection.sources:
        source.close()
    return {name: how for name, how in found.items() if name.startswith(component + ":")}


def statuses(detection: Detection, source: str) -> list[str]:
    return [found.status for found in detection.findings if found.source == source]


def test_rapl_measures_packages_and_dram(tmp_path: Path) -> None:
    """Where RAPL has both, neither model is used: nothing is counted twice."""
    tree = PowercapTree("intel_two_sockets", tmp_path)
    detection = detect(at(tree.root), HOST)
    assert devices(detection, "cpu") == {"cpu:package-0": "measured", "cpu:package-1": "measured"}
    assert set(devices(detect(at(tree.root), HOST), "dram")) == {"dram:package-0", "dram:package-1"}
    assert statuses(detection, "cpu_model") == statuses(detection, "dram_model") == []


def test_dram_is_modelled_where_rapl_has_none(tmp_path: Path) -> None:
    """On EPYC the package is measured and the memory modelled."""
    tree = PowercapTree("amd_epyc", tmp_path)
    assert devices(detect(at(tree.root), HOST), "cpu") == {"cpu:package-0": "measured"}
    assert devices(detect(at(tree.root), HOST), "dram") == {"dram:host": "modelled"}


def test_both_are_modelled_without_rapl(tmp_path: Path) -> None:
    """Without counters both have a model, and the findings say why RAPL is not used."""
    detection = detect(at(tmp_path), HOST)
    assert all(isinstance(source, PowerSource) for source in detection.sources)
    assert devices(detection, "cpu") == {"cpu:package-0": "modelled"}
    assert devices(detect(at(tmp_path), HOST), "dram") == {"dram:host": "modelled"}
    assert statuses(detection, "rapl") == ["absent"]
    assert statuses(detection, "cpu_model") == statuses(detection, "dram_model") == ["modelled"]


def test_an_unreadable_counter_is_told_and_modelled(tmp_path: Path) -> None:
    """A counter that only root may read: the model stands in, the command is given."""
    tree = PowercapTree("amd_epyc", tmp_path)
    tree.deny("intel-rapl:0")
    detection = detect(at(tree.root), HOST)
    assert statuses(detection, "rapl") == ["unreadable"]
    assert statuses(detection, "cpu_model") == ["modelled"]
    assert any(found.mend.startswith("sudo chmod") for found in detection.findings)


def test_named_sources_are_the_only_ones(tmp_path: Path) -> None:
    """`sources=("dram_model",)` looks for nothing else."""
    detection = detect(at(tmp_path, "dram_model"), HOST)
    assert {found.source for found in detection.findings} == {"dram_model"}
    assert len(detection.sources) == 1


def test_a_model_named_beside_rapl_stands_in_only(tmp_path: Path) -> None:
    """In whatever order they are named, a component that RAPL measures is not modelled too."""
    tree = PowercapTree("amd_epyc", tmp_path)
    detection = detect(at(tree.root, "dram_model", "cpu_model", "rapl"), HOST)
    assert devices(detection, "cpu") == {"cpu:package-0": "measured"}
    assert {found.source for found in detection.findings} == {"rapl", "dram_model"}


def test_a_named_source_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """The error names the source, why it is not there and the command that mends it."""
    with pytest.raises(SourceUnavailable, match=r"'rapl'.*sudo modprobe intel_rapl_msr") as caught:
        detect(at(tmp_path, "rapl", "dram_model"), HOST)
    assert caught.value.kind == "absent"


def test_a_named_source_that_is_unreadable_is_an_error(tmp_path: Path) -> None:
    """A counter that may not be read is another kind of error than one that is not there."""
    tree = PowercapTree("amd_epyc", tmp_path)
    tree.deny("intel-rapl:0")
    with pytest.raises(SourceUnavailable, match="sudo chmod") as caught:
        detect(at(tree.root, "rapl"), HOST)
    assert caught.value.kind == "unreadable"


def test_nvml_with_no_visible_gpu_is_an_error_when_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA_VISIBLE_DEVICES is passed on: with none visible there is nothing to meter."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == ""
    with pytest.raises(SourceUnavailable, match="'nvml'"):
        detect(at(tmp_path, "nvml"), HOST)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    """A typing error is met with what could have been meant."""
    with pytest.raises(ConfigError, match="cpu_model") as caught:
        detect(at(tmp_path, "rapls"), HOST)
    assert (caught.value.field, caught.value.given) == ("sources", "rapls")
    assert all(name in str(caught.value) for name in SOURCE_NAMES)


def test_a_fault_in_one_source_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A path that can't be one makes RAPL's detection raise: logged once, told, and modelled."""
    with caplog.at_level(logging.WARNING, logger="inferprint"):
        detection = detect(Config(powercap_root="not\0a path"), HOST)
    for source in detection.sources:
        source.close()
    fault = next(found for found in detection.findings if found.source == "rapl")
    assert fault.status == "unreadable"
    assert "null" in fault.why
    assert statuses(detection, "cpu_model") == ["modelled"]
    rapl_lines = [record for record in caplog.records if "rapl" in record.getMessage()]
    assert [(line.name, line.levelname) for line in rapl_lines] == [("inferprint", "WARNING")]


def test_findings_are_complete(tmp_path: Path) -> None:
    """Each component has a line, whatever was found, with a reason."""
    detection = detect(at(tmp_path), HOST)
    for source in detection.sources:
        source.close()
    assert {found.component for found in detection.findings} == {"gpu", "cpu", "dram"}
    assert all(isinstance(found, Finding) and found.why for found in detection.findings)


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.mark.parametrize(("flag", "virtual"), [("hypervisor", True), ("ht", False)])
def test_a_host_is_read_from_its_files(tmp_path: Path, flag: str, virtual: bool) -> None:
    """Name, packages, logical CPUs and the hypervisor come from cpuinfo."""
    parts = [CPUINFO.format(number=n, package=n // 2, flag=flag) for n in range(4)]
    write(tmp_path, "proc/cpuinfo", "\n".join(parts))
    host = read_host(tmp_path)
    assert host.cpu_name == "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz"
    assert (host.packages, host.threads, host.virtual) == (2, 4, virtual)
    assert (host.container, host.cpu_limit) == (False, None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".dockerenv", ""),
        ("run/.containerenv", ""),
        ("proc/1/cgroup", "0::/kubepods.slice/kubepods-pod1.slice\n"),
    ],
)
def test_a_container_is_seen(tmp_path: Path, name: str, text: str) -> None:
    """Docker, Podman and Kubernetes each leave their own mark."""
    write(tmp_path, name, text)
    assert read_host(tmp_path).container


@pytest.mark.parametrize(("text", "limit"), [("250000 100000\n", 2.5), ("max 100000\n", None)])
def test_a_cpu_limit_is_seen(tmp_path: Path, text: str, limit: float | None) -> None:
    """Cgroup v2's quota over its period; `max` is no limit."""
    write(tmp_path, "sys/fs/cgroup/cpu.max", text)
    assert read_host(tmp_path).cpu_limit == limit


def test_a_host_that_tells_nothing_still_has_a_cpu(tmp_path: Path) -> None:
    """Without /proc there is one package of as many logical CPUs as Python counts."""
    host = read_host(tmp_path)
    assert (host.packages, host.virtual, host.container) == (1, False, False)
    assert host.threads >= 1
    assert host.cpu_name
