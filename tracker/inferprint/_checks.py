"""What a setting can be. Each check names the field, what was given and what would be right."""

from __future__ import annotations

import math
import os
import re
import sys
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from inferprint.calibration import calibrations
from inferprint.errors import ConfigError
from inferprint.hardware import parse_hardware
from inferprint.intensity.naming import parse_source
from inferprint.records import CpuScope, IdlePolicyName

if TYPE_CHECKING:
    from inferprint._config import Config

__all__ = ["check"]

_MOST = sys.float_info.max
_LEAST = sys.float_info.min
# sun_path of Linux has 108 bytes, the last of them 0 (unix(7)).
_MOST_SOCKET_PATH = 107
# Numbers, and what they lie between; those that may be None are not checked then.
_LIMITS = {
    "sample_interval_s": (0.01, 60.0),
    "standing_horizon_s": (1.0, 31 * 86_400.0),
    "carbon_intensity_g_per_kwh": (0.0, _MOST),
    "intensity_refresh_s": (1.0, 3600.0),
    "pue": (1.0, _MOST),
    "wue_l_per_kwh": (0.0, _MOST),
    "electricity_price": (-_MOST, _MOST),
    "hardware_lifetime_years": (_LEAST, _MOST),
    "hardware_utilisation": (_LEAST, 1.0),
    "hardware_price_per_hour": (0.0, _MOST),
    "training_energy_kwh": (0.0, _MOST),
    "training_carbon_kg": (0.0, _MOST),
    "training_requests": (_LEAST, _MOST),
    "gpu_idle_w": (0.0, _MOST),
    "cpu_idle_w": (0.0, _MOST),
}
# A word that may stand for a number that is to be looked up.
_WORDS = {"pue": "upper", "hardware_price_per_hour": "rent"}
_REQUIRED = {"sample_interval_s", "standing_horizon_s", "intensity_refresh_s"}
_NAMES = ("sources", "exporters", "calibration", "hardware")
_TEXTS = (
    "location",
    "factors_path",
    "intensity_cache_path",
    "powercap_root",
    "lock_folder",
    "learned_path",
    "prometheus_host",
    "live_host",
    "store_url",
)
_OPTIONAL = {
    "engine_metrics_url",
    "factors_path",
    "hardware",
    "intensity_cache_path",
    "learned_path",
    "location",
    "sources",
    "store_url",
}
_URLS = ("electricity_maps_url", "engine_metrics_url", "watttime_url")


def check(config: Config) -> None:
    """Refuses settings that can't be used.

    Raises:
        ConfigError: one can't; names the field and what would be right.
    """
    for name, (low, high) in _LIMITS.items():
        value = getattr(config, name)
        if (value is None and name not in _REQUIRED) or value == _WORDS.get(name, math.nan):
            continue
        _number(name, value, low, high)
    for name, words in (("idle_policy", IdlePolicyName), ("cpu_scope", CpuScope)):
        if getattr(config, name) not in get_args(words):
            expected = " or ".join(map(repr, get_args(words)))
            raise ConfigError(name, getattr(config, name), expected)
    priced = (config.electricity_price, config.hardware_price_per_hour, config.currency)
    if any(value not in (None, "rent") for value in priced):
        _currency(config.currency)
    _training(config)
    for name in _NAMES:
        _tuple_of_names(config, name)
    calibrations(config.calibration)
    parse_hardware(config.hardware or ())
    for name in _TEXTS:
        _text(name, getattr(config, name))
    _places(config)
    _whole("prometheus_port", config.prometheus_port, low=0, high=65_535)
    _whole("live_port", config.live_port, low=0, high=65_535)
    _socket(config.agent)
    _whole("max_label_values", config.max_label_values, low=1, high=100_000)


def _number(field_: str, value: object, low: float, high: float) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if low <= number <= high:
        return
    limits = [f"at least {low:g}"] if low > _LEAST or low == 0 else []
    limits += ["above 0"] if low == _LEAST else []
    limits += [f"at most {high:g}"] if high < _MOST else []
    raise ConfigError(field_, value, " ".join(["a finite number", " and ".join(limits)]).strip())


def _whole(field_: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(field_, value, f"a whole number from {low} to {high}")


def _training(config: Config) -> None:
    spent = (config.training_energy_kwh, config.training_carbon_kg)
    if (config.training_requests is None) != (spent == (None, None)):
        expected = "set together with training_energy_kwh or training_carbon_kg, or none of them"
        raise ConfigError("training_requests", config.training_requests, expected)


def _currency(value: object) -> None:
    if not (isinstance(value, str) and re.fullmatch("[A-Z]{3}", value)):
        expected = "a three-letter ISO 4217 code such as 'EUR' wherever there is a price"
        raise ConfigError("currency", value, expected)


def _text(field_: str, value: object) -> None:
    if value is None and field_ in _OPTIONAL:
        return
    if not isinstance(value, str) or not value.strip():
        expected = "a text or None" if field_ in _OPTIONAL else "a text"
        raise ConfigError(field_, value, expected)


def _socket(path: object) -> None:
    if path is None:
        return
    is_text = isinstance(path, str) and bool(path.strip())
    if not is_text or len(os.fsencode(str(path))) > _MOST_SOCKET_PATH:
        expected = f"the path of a socket, at most {_MOST_SOCKET_PATH} bytes long, or None"
        raise ConfigError("agent", path, expected)


def _places(config: Config) -> None:
    if config.wall_meter is not None:
        from inferprint.sources._wall_meters import parse_meter  # not of all users

        parse_meter(config.wall_meter)
    if config.carbon_intensity_source is not None:
        parse_source(config.carbon_intensity_source)
    for name in _URLS:
        if (value := getattr(config, name)) is not None or name not in _OPTIONAL:
            _url(name, value)


def _url(field_: str, value: object) -> None:
    try:
        parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        # A name or a password in it would be shown with the settings.
        usable = usable and not (parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        usable = False
    if not usable:
        expected = "an address such as 'https://api.example.org', with no account or query in it"
        raise ConfigError(field_, value, expected)


def _tuple_of_names(config: Config, name: str) -> None:
    value = getattr(config, name)
    if value is None and name in _OPTIONAL:
        return
    if not isinstance(value, tuple | list) or not all(isinstance(part, str) for part in value):
        raise ConfigError(name, value, "a tuple of names, such as ('nvml', 'rapl')")
    object.__setattr__(config, name, tuple(value))
