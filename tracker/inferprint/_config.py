"""Every setting, in one place: its default, its environment variable, its check.

An argument wins over the environment variable ``INFERPRINT_<FIELD>``, which wins over the
default. This is the only module that reads the environment.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from inferprint.calibration import calibrations
from inferprint.errors import ConfigError
from inferprint.records import IdlePolicyName

__all__ = ["Config", "visible_gpus"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of a tracker, checked when it is made.

    Args:
        sample_interval_s: seconds between readings of each device, 0.01 to 60.
        idle_policy: who pays for idle energy: ``in_flight``, ``amortised``, ``since_last``
            or ``separate``.
        standing_horizon_s: ``amortised`` charges the energy of quiet times at the request
            rate of this trailing time.
        sources: names of sources to use, such as ``nvml``, ``rapl``, ``cpu_model``,
            ``dram_model``; one that is not there is an error. None: all that are found.
        exporters: names of exporters, such as ``prometheus``.
        location: an ISO country code (``FRA``) or a cloud region (``aws:eu-west-3``); it
            gives the grid's carbon intensity.
        carbon_intensity_g_per_kwh: gCO2e per kWh; wins over ``location``.
        pue: power usage effectiveness of the site, at least 1. None: not known.
        electricity_price: money per kWh, in ``currency``; may be negative.
        currency: ISO 4217 code of the price.
        gpu_idle_w: watts of one GPU with the model resident and no request. None: observed.
        cpu_idle_w: watts of one CPU package when idle. None: observed, or modelled.
        calibration: corrections of devices' gains, each ``DEVICE=FACTOR`` or
            ``DEVICE=FACTOR:ERROR``: true joules for each that the device counts, and how far
            off, relatively, that may be; without it as the device itself.
        powercap_root: where Linux keeps the RAPL counters.
        learned_path: a file that what was learned is loaded from and, at the tracker's stop,
            saved to. None: each start learns anew.
        prometheus_port: port of the Prometheus exporter, 0 to take any free one.
        prometheus_host: address that it listens on.
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
    pue: float | None = _setting("pue", None, float)
    electricity_price: float | None = _setting("electricity_price", None, float)
    currency: str | None = _setting("currency", None, str)
    gpu_idle_w: float | None = _setting("gpu_idle_w", None, float)
    cpu_idle_w: float | None = _setting("cpu_idle_w", None, float)
    calibration: tuple[str, ...] = _setting("calibration", (), _names)
    powercap_root: str = _setting("powercap_root", "/sys/class/powercap", str)
    learned_path: str | None = _setting("learned_path", None, str)
    prometheus_port: int = _setting("prometheus_port", 9464, int)
    prometheus_host: str = _setting("prometheus_host", "127.0.0.1", str)
    max_label_values: int = _setting("max_label_values", 100, int)

    def __post_init__(self) -> None:
        _number("sample_interval_s", self.sample_interval_s, low=0.01, high=60)
        _number("standing_horizon_s", self.standing_horizon_s, low=1, high=31 * 86_400)
        if self.idle_policy not in get_args(IdlePolicyName):
            policies = " or ".join(map(repr, get_args(IdlePolicyName)))
            raise ConfigError("idle_policy", self.idle_policy, policies)
        for name, low in _AT_LEAST.items():
            value = getattr(self, name)
            if value is not None:
                _number(name, value, low=low)
        if self.electricity_price is not None:
            _number("electricity_price", self.electricity_price)
        if self.electricity_price is not None or self.currency is not None:
            _currency(self.currency)
        for name in ("sources", "exporters", "calibration"):
            _tuple_of_names(self, name)
        calibrations(self.calibration)
        for name in ("location", "powercap_root", "learned_path", "prometheus_host"):
            _text(name, getattr(self, name))
        _whole("prometheus_port", self.prometheus_port, low=0, high=65_535)
        _whole("max_label_values", self.max_label_values, low=1, high=100_000)


_MOST = sys.float_info.max
_OPTIONAL = {"learned_path", "location", "sources"}
_AT_LEAST = {"carbon_intensity_g_per_kwh": 0.0, "pue": 1.0, "gpu_idle_w": 0.0, "cpu_idle_w": 0.0}


def _number(field_: str, value: object, low: float = -_MOST, high: float = _MOST) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if low <= number <= high:
        return
    limits = [f"at least {low:g}"] if low > -_MOST else []
    limits += [f"at most {high:g}"] if high < _MOST else []
    raise ConfigError(field_, value, " ".join(["a finite number", " and ".join(limits)]).strip())


def _whole(field_: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(field_, value, f"a whole number from {low} to {high}")


def _currency(value: object) -> None:
    if not (isinstance(value, str) and re.fullmatch("[A-Z]{3}", value)):
        expected = "a three-letter ISO 4217 code such as 'EUR', as for electricity_price"
        raise ConfigError("currency", value, expected)


def _text(field_: str, value: object) -> None:
    if value is None and field_ in _OPTIONAL:
        return
    if not isinstance(value, str) or not value.strip():
        expected = "a text or None" if field_ in _OPTIONAL else "a text"
        raise ConfigError(field_, value, expected)


def _tuple_of_names(config: Config, name: str) -> None:
    value = getattr(config, name)
    if value is None and name in _OPTIONAL:
        return
    if not isinstance(value, tuple | list) or not all(isinstance(part, str) for part in value):
        raise ConfigError(name, value, "a tuple of names, such as ('nvml', 'rapl')")
    object.__setattr__(config, name, tuple(value))


def visible_gpus() -> str | None:
    """The GPUs that CUDA lets this process use, as ``CUDA_VISIBLE_DEVICES`` lists them.

    None: it is not set, so all of them. An empty text: none.
    """
    return os.environ.get("CUDA_VISIBLE_DEVICES")
