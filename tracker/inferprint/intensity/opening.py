"""Opens the source of carbon intensity that the settings name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from inferprint.errors import ConfigError
from inferprint.intensity.known import Constant, Intensity
from inferprint.intensity.naming import SETTING, parse_source

if TYPE_CHECKING:
    from inferprint._config import Config
    from inferprint.impacts import Factor

__all__ = ["open_intensity"]

# What is at hand is looked at more often than a service is asked: a look takes some 20 µs.
FILE_REFRESH_S = 10.0

# Each source is imported where it is opened: most trackers have none.


def open_intensity(config: Config, static: Factor | None) -> Intensity:
    """The carbon intensity over time that the settings name.

    Args:
        config: the settings.
        static: that of the settings' location or their own figure, for trackers that name no
            source over time.

    Returns:
        It, not started.

    Raises:
        ConfigError: the source can't be used; names the field, or the variable that is not set.
        MissingExtra: it needs a package that is not installed.
    """
    if config.carbon_intensity_source is None:
        return Constant(static)
    kind, which = parse_source(config.carbon_intensity_source)
    return _OPENERS[kind](which, config)


def _profile(path: str, config: Config) -> Intensity:
    from inferprint.intensity.profile import read_profile

    return read_profile(path)


def _ember(path: str, config: Config) -> Intensity:
    from inferprint.intensity.ember import read_ember

    return Constant(read_ember(path, config.location))


def _file(path: str, config: Config) -> Intensity:
    from inferprint.intensity.live import Live
    from inferprint.intensity.local_file import LocalFile

    live = Live(LocalFile(path), min(FILE_REFRESH_S, config.intensity_refresh_s))
    if (fault := live.look()) is not None:
        expected = f"a JSON or CSV file of carbon intensities, but {fault}"
        raise ConfigError(SETTING, f"file:{path}", expected)
    return live


def _electricity_maps(zone: str, config: Config) -> Intensity:
    from inferprint.intensity.electricity_maps import MEND, VARIABLE, ElectricityMaps
    from inferprint.intensity.live import Live
    from inferprint.intensity.web import Web

    web = Web(f"electricity_maps:{zone}", MEND)
    feed = ElectricityMaps(zone, _token(VARIABLE, MEND), config.electricity_maps_url, web)
    return Live(feed, config.intensity_refresh_s, _cache_path(config, feed.name))


def _watttime(region: str, config: Config) -> Intensity:
    from inferprint.intensity.live import Live
    from inferprint.intensity.watttime import MEND, PASSWORD, USERNAME, WattTime
    from inferprint.intensity.web import Web

    web = Web(f"watttime:{region}", MEND)
    account = (_secret(USERNAME, MEND), _secret(PASSWORD, MEND))
    feed = WattTime(region, *account, config.watttime_url, web)
    return Live(feed, config.intensity_refresh_s, _cache_path(config, feed.name))


_OPENERS = {
    "profile": _profile,
    "ember": _ember,
    "file": _file,
    "electricity_maps": _electricity_maps,
    "watttime": _watttime,
}


def _secret(variable: str, mend: str) -> str:
    from inferprint._config import environment_variable

    text = environment_variable(variable)
    if text is None:
        raise ConfigError(variable, None, "set in the environment, the only place for it", mend)
    return text


def _token(variable: str, mend: str) -> str:
    from inferprint.intensity.web import is_token

    text = _secret(variable, mend)
    if not is_token(text):
        # It is not repeated, here or anywhere.
        raise ConfigError(variable, "<hidden>", "a token of printable ASCII", mend)
    return text


def _cache_path(config: Config, name: str) -> Path | None:
    from inferprint._config import cache_folder

    if config.intensity_cache_path is not None:
        return Path(config.intensity_cache_path)
    folder = cache_folder()
    return folder and folder / (re.sub(r"[^\w.-]+", "-", name) + ".json")
