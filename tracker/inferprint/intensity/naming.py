"""How the setting ``carbon_intensity_source`` names a source."""

from __future__ import annotations

from inferprint.errors import ConfigError

__all__ = ["FORMS", "SETTING", "parse_source"]

SETTING = "carbon_intensity_source"

FORMS = {
    "profile": "profile:FILE",
    "ember": "ember:FILE",
    "file": "file:PATH",
    "electricity_maps": "electricity_maps:ZONE",
    "watttime": "watttime:REGION",
}
"""The kinds of source, and what is written for each."""


def parse_source(text: object) -> tuple[str, str]:
    """The kind of a source, and which one.

    Args:
        text: such as ``electricity_maps:FR``.

    Raises:
        ConfigError: it names none.
    """
    kind, _, which = text.partition(":") if isinstance(text, str) else ("", "", "")
    if kind not in FORMS or not which.strip():
        raise ConfigError(SETTING, text, f"{', '.join(FORMS.values())} or None")
    return kind, which.strip()
