"""Every setting, in one place: its default, its environment variable, its check.

An argument wins over the environment variable ``INFERPRINT_<FIELD>``, which wins over the
default. This is the only module that reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from inferprint.errors import ConfigError
from inferprint.records import CpuScope, IdlePolicyName

__all__ = [
    "Config",
    "cache_folder",
    "environment",
    "environment_variable",
    "visible_amd_gpus",
    "visible_gpus",
]


def _setting(name: str, default: object, parse: Callable[[str], object]) -> Any:
    """A dataclass field whose default comes from the environment when there is one."""
    variable = "INFERPRINT_" + name.upper()

    def resolve() -> object:
        text = os.environ.get(variable, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError:
            kind = "a whole number" if parse is int else "a number"
            raise ConfigError(name, text, kind, f"It is set by {variable}.") from None

    return field(default_factory=resolve)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _number_or(word: str) -> Callable[[str], float | str]:
    return lambda text: word if text == word else float(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of a tracker, checked when it is made.

    Args:
        sample_interval_s: seconds between readings of each device, 0.01 to 60.
        idle_policy: who pays for idle energy: ``in_flight``, ``amortised``, ``since_last``
            or ``separate``.
        standing_horizon_s: ``amortised`` charges the energy of quiet times at the request
            rate of this trailing time.
        sources: names of sources to use, such as ``nvml``, ``amdsmi``, ``rapl``, ``cpu_model``,
            ``dram_model``; one that is not there is an error. None: all that are found.
        exporters: names of exporters, such as ``prometheus``.
        location: an ISO country code (``FRA``) or a cloud region (``aws:eu-west-3``); it
            gives the grid's carbon intensity.
        carbon_intensity_g_per_kwh: gCO2e per kWh; wins over ``location``.
        carbon_intensity_source: where the intensity over time comes from: ``profile:FILE``,
            ``ember:FILE``, ``file:PATH``, ``electricity_maps:ZONE`` or ``watttime:REGION``;
            wins over both. None: it is the same at all times.
        intensity_refresh_s: seconds between two looks for a newer intensity, 1 to 3600.
        intensity_cache_path: a file that keeps fetched intensities over a restart. None: one
            for each source in the user's folder of caches.
        electricity_maps_url: the API of Electricity Maps.
        watttime_url: the API of WattTime.
        factors_path: a TOML file of factors of your own, which win over those that ship.
        pue: power usage effectiveness of the site, at least 1; ``upper``: the upper bound of
            the location's area. None: the provider's where ``location`` is a cloud region,
            else not known.
        wue_l_per_kwh: litres that the site evaporates per kWh of its IT devices.
        electricity_price: money per kWh, in ``currency``; may be negative.
        currency: ISO 4217 code of the prices.
        hardware: what the machine is made of, each ``NAME=NUMBER`` of the factors' products.
            None: the GPUs that are found, with a part of a server each.
        hardware_lifetime_years: years after which the hardware is replaced.
        hardware_utilisation: the part of its life in which it is used, above 0 to 1.
        hardware_price_per_hour: money for an hour of the machine, in ``currency``, without
            electricity; ``rent``: by the tables' price lists of GPUs, with it.
        training_requests: how many requests the model's training is spread over; with
            ``training_energy_kwh`` and ``training_carbon_kg``, what it took. It is in no sum.
        gpu_idle_w: watts of one GPU with the model resident and no request. None: observed.
        cpu_idle_w: watts of one CPU package when idle. None: observed, or modelled.
        cpu_scope: whose CPU time is this tracker's own part of the host's: ``process``, ``tree``
            (with all processes that it starts) or ``cgroup`` (the whole container or service).
        calibration: corrections of devices' gains, each ``DEVICE=FACTOR`` or
            ``DEVICE=FACTOR:ERROR``: true joules for each that the device counts, and how far
            off, relatively, that may be; without it as the device itself.
        powercap_root: where Linux keeps the RAPL counters.
        wall_meter: a meter of the whole machine: ``tasmota:URL`` or ``shelly:URL`` (smart plugs),
            ``redfish:URL`` of a chassis, or ``ipmi``. None: there is none.
        lock_folder: where trackers of this host lock the GPUs that they read, to find each other.
        learned_path: a file that what was learned is loaded from and, at the tracker's stop,
            saved to. None: each start learns anew.
        prometheus_port: port of the Prometheus exporter, 0 to take any free one.
        prometheus_host: address that it listens on.
        live_port: port of the live page, 0 to take any free one.
        live_host: address that it listens on.
        store_url: database of the exporter ``store`` and of ``inferprint report``, such as
            ``sqlite:///receipts.db``.
        agent: socket of this host's agent (``inferprint agent``), which then reads the devices,
            keeps the books and says what energy means; sources or a clock that a tracker is
            given win over it. None: this process reads them itself.
        engine_metrics_url: the metrics of an engine that no hook reaches, such as
            ``http://127.0.0.1:8000/metrics``; the Prometheus exporter looks at them. None: none.
        max_label_values: distinct values of a metric's label; what is past it is ``other``.

    Raises:
        ConfigError: a value is not usable; names the field and what would be right.
    """

    sample_interval_s: float = _setting("sample_interval_s", 0.1, float)
    idle_policy: IdlePolicyName = _setting("idle_policy", "amortised", str)
    standing_horizon_s: float = _setting("standing_horizon_s", 3600.0, float)
    sources: tuple[str, ...] | None = _setting("sources", None, _names)
    exporters: tuple[str, ...] = _setting("exporters", (), _names)
    location: str | None = _setting("location", None, str)
    carbon_intensity_g_per_kwh: float | None = _setting("carbon_intensity_g_per_kwh", None, float)
    carbon_intensity_source: str | None = _setting("carbon_intensity_source", None, str)
    intensity_refresh_s: float = _setting("intensity_refresh_s", 300.0, float)
    intensity_cache_path: str | None = _setting("intensity_cache_path", None, str)
    electricity_maps_url: str = _setting(
        "electricity_maps_url", "https://api.electricitymaps.com", str
    )
    watttime_url: str = _setting("watttime_url", "https://api.watttime.org", str)
    factors_path: str | None = _setting("factors_path", None, str)
    pue: float | Literal["upper"] | None = _setting("pue", None, _number_or("upper"))
    wue_l_per_kwh: float | None = _setting("wue_l_per_kwh", None, float)
    electricity_price: float | None = _setting("electricity_price", None, float)
    currency: str | None = _setting("currency", None, str)
    hardware: tuple[str, ...] | None = _setting("hardware", None, _names)
    hardware_lifetime_years: float | None = _setting("hardware_lifetime_years", None, float)
    hardware_utilisation: float | None = _setting("hardware_utilisation", None, float)
    hardware_price_per_hour: float | Literal["rent"] | None = _setting(
        "hardware_price_per_hour", None, _number_or("rent")
    )
    training_energy_kwh: float | None = _setting("training_energy_kwh", None, float)
    training_carbon_kg: float | None = _setting("training_carbon_kg", None, float)
    training_requests: float | None = _setting("training_requests", None, float)
    gpu_idle_w: float | None = _setting("gpu_idle_w", None, float)
    cpu_idle_w: float | None = _setting("cpu_idle_w", None, float)
    cpu_scope: CpuScope = _setting("cpu_scope", "process", str)
    calibration: tuple[str, ...] = _setting("calibration", (), _names)
    powercap_root: str = _setting("powercap_root", "/sys/class/powercap", str)
    wall_meter: str | None = _setting("wall_meter", None, str)
    lock_folder: str = _setting("lock_folder", "/tmp/inferprint", str)  # noqa: S108 - see claims
    learned_path: str | None = _setting("learned_path", None, str)
    prometheus_port: int = _setting("prometheus_port", 9464, int)
    prometheus_host: str = _setting("prometheus_host", "127.0.0.1", str)
    live_port: int = _setting("live_port", 9465, int)
    live_host: str = _setting("live_host", "127.0.0.1", str)
    store_url: str | None = _setting("store_url", None, str)
    agent: str | None = _setting("agent", None, str)
    engine_metrics_url: str | None = _setting("engine_metrics_url", None, str)
    max_label_values: int = _setting("max_label_values", 100, int)

    def __post_init__(self) -> None:
        from inferprint._checks import check  # 3 ms, and of those who make one

        check(self)


def visible_gpus() -> str | None:
    """The GPUs that CUDA lets this process use, as ``CUDA_VISIBLE_DEVICES`` lists them.

    Where it is not set, those that ``NVIDIA_VISIBLE_DEVICES`` names by UUID: what a container was
    given, which a privileged one sees beside all others. Numbers in it are the host's, not its own.

    None: all of them. An empty text: none.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    given = os.environ.get("NVIDIA_VISIBLE_DEVICES", "")
    by_uuid = all(name.strip().startswith(("GPU-", "MIG-")) for name in given.split(","))
    return given if visible is None and by_uuid else visible


def visible_amd_gpus() -> str | None:
    """The numbers of the GPUs that HIP lets this process use; None: all of them."""
    return os.environ.get("HIP_VISIBLE_DEVICES", os.environ.get("ROCR_VISIBLE_DEVICES"))


def environment() -> dict[str, str]:
    """The environment that a command inherits."""
    return dict(os.environ)


def environment_variable(variable: str) -> str | None:
    """A token or a password, or what is another package's: no setting, in no ``Config``.

    Args:
        variable: the whole name of the environment variable.

    Returns:
        Its value; None: it is not set, or empty.
    """
    return os.environ.get(variable, "").strip() or None


def cache_folder() -> Path | None:
    """Where what was fetched is kept for this user, after the XDG Base Directory Specification.

    None: the user has no home.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    except RuntimeError:
        return None
    return root / "inferprint"
