"""Settings: where they come from, and what is refused at once."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inferprint import Config, ConfigError, SourceUnavailable, Tracker

NO_NUMBER: list[object] = [math.nan, math.inf, -math.inf, 10**400, "1", True, None, [1]]

# Field, values that it refuses, and what the error says would be right.
REFUSED: dict[str, tuple[list[object], str]] = {
    "sample_interval_s": ([0, -1, 0.001, 61, *NO_NUMBER], "at least 0.01 and at most 60"),
    "standing_horizon_s": ([0, -3600, 1e9, *NO_NUMBER], "at least 1 and at most"),
    "idle_policy": (["fair", "", None, 3, ["amortised"]], "'in_flight' or 'amortised' or"),
    "cpu_scope": (["host", "", None, 3], "'process' or 'tree' or 'cgroup'"),
    "sources": (["nvml", 5, [1], {"nvml": 1}], "a tuple of names"),
    "exporters": (["prometheus", 5, [None], None], "a tuple of names"),
    "location": (["", 33, ["FRA"]], "a text or None"),
    "carbon_intensity_g_per_kwh": ([-1, *NO_NUMBER[:-2], [1]], "at least 0"),
    "carbon_intensity_source": (
        ["", "FR", "profile:", "file: ", "rte:FR", "Ember:x", 5, ["file:x"]],
        "profile:FILE, ember:FILE, file:PATH, electricity_maps:ZONE, watttime:REGION or None",
    ),
    "intensity_refresh_s": ([0, 0.9, 3601, *NO_NUMBER], "at least 1 and at most 3600"),
    "intensity_cache_path": (["", " ", 5], "a text or None"),
    "electricity_maps_url": (
        ["", "api.electricitymaps.com", "ftp://a", "https://me:pw@a", "https://a/?key=1", 5, None],
        "an address such as 'https://api.example.org', with no account",
    ),
    "watttime_url": (["https://", "http://a:x", "http://[a", b"https://a"], "an address such as"),
    "pue": ([-1.2, 0, 0.99, *NO_NUMBER[:-2], [1]], "at least 1"),
    "factors_path": (["", 5], "a text or None"),
    "wue_l_per_kwh": ([-1, *NO_NUMBER[:-2], [1]], "at least 0"),
    "hardware": (["server=1", 5, [1]], "a tuple of names"),
    "hardware_lifetime_years": ([0, -1, *NO_NUMBER[:-2], [1]], "above 0"),
    "hardware_utilisation": ([0, 1.01, *NO_NUMBER[:-2], [1]], "above 0 and at most 1"),
    "hardware_price_per_hour": ([-1, *NO_NUMBER[:-2], [1]], "at least 0"),
    "training_energy_kwh": ([-1, *NO_NUMBER[:-2], [1]], "at least 0"),
    "training_carbon_kg": ([-1, *NO_NUMBER[:-2], [1]], "at least 0"),
    "training_requests": ([0, -1, *NO_NUMBER[:-2], [1]], "above 0"),
    "electricity_price": ([*NO_NUMBER[:-2], [1]], "a finite number"),
    "currency": (["euro", "eur", "€", "EU", 3, "ÄÖÜ"], "ISO 4217"),
    "gpu_idle_w": ([-1, *NO_NUMBER[:-2], [1]], "at least 0"),
    "cpu_idle_w": ([-1, *NO_NUMBER[:-2], [1]], "at least 0"),
    "learned_path": (["", " ", 5], "a text or None"),
    "calibration": (["gpu:0=1", 5, (1.03,)], "a tuple of names"),
    "powercap_root": (["", None, 5], "a text"),
    "lock_folder": (["", None, 5], "a text"),
    "wall_meter": (
        ["", "plug", "ipmi:x", "tasmota:plug", "shelly:http://a:b@c", 5],
        "tasmota:http",
    ),
    "prometheus_port": ([-1, 65_536, 9464.0, "9464", True, None], "from 0 to 65535"),
    "prometheus_host": (["", None, 5], "a text"),
    "live_port": ([-1, 65_536, 9465.0, "9465", True, None], "from 0 to 65535"),
    "live_host": (["", None, 5], "a text"),
    "store_url": (["", " ", 5], "a text or None"),
    "agent": (["", " ", 5, "/" + 107 * "x"], "107 bytes"),
    "engine_metrics_url": (
        ["", "127.0.0.1:8000/metrics", "file:///etc/passwd", "http://user:word@x/metrics", 5],
        "an address such as 'https://api.example.org', with no account or query in it",
    ),
    "max_label_values": ([0, -1, 1.5, None, True], "from 1 to"),
}
CASES = [(name, value, right) for name, (values, right) in REFUSED.items() for value in values]

# Field, what the environment gives, what the setting is then.
FROM_ENVIRONMENT: dict[str, tuple[str, object]] = {
    "sample_interval_s": ("0.5", 0.5),
    "standing_horizon_s": ("60", 60.0),
    "idle_policy": ("since_last", "since_last"),
    "cpu_scope": ("tree", "tree"),
    "sources": ("nvml, rapl", ("nvml", "rapl")),
    "exporters": ("prometheus", ("prometheus",)),
    "location": ("FRA", "FRA"),
    "carbon_intensity_g_per_kwh": ("56", 56.0),
    "carbon_intensity_source": ("electricity_maps:FR", "electricity_maps:FR"),
    "intensity_refresh_s": ("60", 60.0),
    "intensity_cache_path": ("/tmp/intensity.json", "/tmp/intensity.json"),
    "electricity_maps_url": ("http://127.0.0.1:8080/v4", "http://127.0.0.1:8080/v4"),
    "watttime_url": ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    "factors_path": ("/tmp/factors.toml", "/tmp/factors.toml"),
    "pue": (" 1.2 ", 1.2),
    "wue_l_per_kwh": ("0.13", 0.13),
    "hardware": ("gpu:H100=8, server=1", ("gpu:H100=8", "server=1")),
    "hardware_lifetime_years": ("5", 5.0),
    "hardware_utilisation": ("0.85", 0.85),
    "hardware_price_per_hour": ("12.5", 12.5),
    "training_energy_kwh": ("433196", 433_196.0),
    "training_carbon_kg": ("24690", 24_690.0),
    "training_requests": ("1e9", 1e9),
    "electricity_price": ("-0.1", -0.1),
    "currency": ("EUR", "EUR"),
    "gpu_idle_w": ("70", 70.0),
    "cpu_idle_w": ("30", 30.0),
    "learned_path": ("/tmp/learned.json", "/tmp/learned.json"),
    "calibration": ("GPU-1=1.03:0.01, cpu:0=0.98", ("GPU-1=1.03:0.01", "cpu:0=0.98")),
    "powercap_root": ("/tmp/powercap", "/tmp/powercap"),
    "lock_folder": ("/tmp/locks", "/tmp/locks"),
    "wall_meter": ("ipmi", "ipmi"),
    "prometheus_port": ("0", 0),
    "prometheus_host": ("0.0.0.0", "0.0.0.0"),
    "live_port": ("0", 0),
    "live_host": ("0.0.0.0", "0.0.0.0"),
    "store_url": ("sqlite:///receipts.db", "sqlite:///receipts.db"),
    "agent": ("/run/agent.sock", "/run/agent.sock"),
    "engine_metrics_url": ("http://127.0.0.1:8000/metrics", "http://127.0.0.1:8000/metrics"),
    "max_label_values": ("7", 7),
}
# What a field can't be set without.
NEEDED: dict[str, dict[str, Any]] = {
    "electricity_price": {"currency": "EUR"},
    "hardware_price_per_hour": {"currency": "EUR"},
    "training_energy_kwh": {"training_requests": 1e6},
    "training_carbon_kg": {"training_requests": 1e6},
    "training_requests": {"training_carbon_kg": 1.0},
}
FIELDS = [field.name for field in dataclasses.fields(Config)]


def variable(name: str) -> str:
    return "INFERPRINT_" + name.upper()


def test_every_field_is_tried() -> None:
    """A new field is not forgotten by the tables above."""
    assert sorted(REFUSED) == sorted(FROM_ENVIRONMENT) == sorted(FIELDS)


@pytest.mark.parametrize(("name", "value", "right"), CASES, ids=lambda value: repr(value)[:20])
def test_a_value_that_cannot_be_used_is_refused(name: str, value: Any, right: str) -> None:
    """At once, in the constructor: with the field, what was given and what would be right."""
    needed = NEEDED.get(name, {})
    with pytest.raises(ConfigError) as caught:
        Config(**{name: value, **needed})
    error = caught.value
    assert (error.field, error.given) == (name, value) or error.given is value
    assert right in error.expected
    assert str(error).startswith(f"{name}={value!r}: expected ")


@pytest.mark.parametrize("name", FIELDS)
def test_the_environment_sets_what_is_not_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """INFERPRINT_<FIELD> wins over the default, and an argument over it."""
    text, value = FROM_ENVIRONMENT[name]
    default = getattr(Config(), name)
    monkeypatch.setenv(variable(name), text)
    assert getattr(Config(**NEEDED.get(name, {})), name) == value != default
    if default is not None:
        assert getattr(Config(**{name: default}), name) == default
    monkeypatch.setenv(variable(name), "  ")
    assert getattr(Config(), name) == default


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pue", "much", "a number. It is set by INFERPRINT_PUE"),
        ("prometheus_port", "9464.5", "a whole number. It is set by INFERPRINT_PROMETHEUS_PORT"),
        ("pue", "0.5", "at least 1"),
        ("sample_interval_s", "nan", "at least 0.01"),
        ("idle_policy", "fair", "'amortised'"),
    ],
)
def test_the_environment_is_checked_too(
    name: str, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that cannot be used is refused like an argument, when the settings are made."""
    monkeypatch.setenv(variable(name), text)
    with pytest.raises(ConfigError, match=said) as caught:
        Config()
    assert caught.value.field == name


def test_a_price_needs_its_currency() -> None:
    """A price without one says which field is missing."""
    with pytest.raises(ConfigError, match="ISO 4217") as caught:
        Config(electricity_price=0.2)
    assert caught.value.field == "currency"


def test_settings_are_a_record() -> None:
    """They do not change, and can be varied and sent to another process."""
    config = Config(pue=1.2, sources=())
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.pue = 1.3  # type: ignore[misc]
    assert dataclasses.replace(config, pue=1.3).pue == 1.3
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(ConfigError):
        dataclasses.replace(config, pue=0.3)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Tracker(Config(location="Atlantis")), ConfigError, "location='Atlantis'"),
        (lambda: Tracker(Config(exporters=("carrier-pigeon",))), ConfigError, "'prometheus'"),
        (lambda: Tracker(Config(sources=("crystal-ball",))), ConfigError, "rapl"),
        (lambda: Tracker(sources=["nvml"]), ConfigError, "sources='nvml'"),  # type: ignore[list-item]
        (lambda: Tracker(sources="nvml"), ConfigError, "sources='nvml'"),  # type: ignore[arg-type]
        (lambda: Tracker(sources=5), ConfigError, "sources=5"),  # type: ignore[arg-type]
        (
            lambda: Tracker(sources=[], exporters=["prometheus"]),  # type: ignore[list-item]
            ConfigError,
            "exporters='prometheus'",
        ),
        (
            lambda: Tracker(sources=[], exporters="prometheus"),  # type: ignore[arg-type]
            ConfigError,
            "exporters='prometheus'",
        ),
        (lambda: Tracker({"pue": 1.2}), ConfigError, "config="),  # type: ignore[arg-type]
    ],
)
def test_what_only_a_tracker_can_check_is_refused_there(
    make: Callable[[], Tracker], error: type[Exception], said: str
) -> None:
    """A location that no table has, names and objects that are none: in its constructor."""
    with pytest.raises(error) as caught:
        make()
    assert said in str(caught.value)


def test_rapl_that_cannot_be_read_is_refused_where_it_is_named(tmp_path: Path) -> None:
    """An empty powercap folder is an error in the constructor, with where it looked."""
    config = Config(sources=("rapl",), powercap_root=str(tmp_path))
    with pytest.raises(SourceUnavailable) as caught:
        Tracker(config)
    assert str(tmp_path) in str(caught.value)
