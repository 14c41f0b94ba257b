"""What a report is asked for: the times, the models, and whether estimates count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from inferprint.errors import ConfigError

__all__ = ["Question", "instant", "label"]


@dataclass(frozen=True, slots=True)
class Question:
    """Which receipts a report is made of.

    Args:
        since_s: started at this time or later, in seconds since 1970; None: from the first.
        until_s: started before this time; None: to the last.
        models: of these models; empty: of all.
        include_hosted: whether estimates for models that run elsewhere are among them.
        bare_idle_w: watts that the machine draws with no model loaded; None: not known.
        load_energy_j: joules to load a model; None: by receipts labelled ``phase=load``.
        labels: names and values, all of which a receipt must have.
    """

    since_s: float | None = None
    until_s: float | None = None
    models: tuple[str, ...] = ()
    include_hosted: bool = False
    bare_idle_w: float | None = None
    load_energy_j: float | None = None
    labels: tuple[tuple[str, str], ...] = ()


def label(text: str) -> tuple[str, str]:
    """A label as people write it, its name and its value.

    Raises:
        ConfigError: it is not one.
    """
    name, given, value = text.partition("=")
    if not (name and given):
        raise ConfigError("--label", text, "a name and a value such as route=/chat")
    return name, value


def instant(option: str, text: str | None) -> float | None:
    """A time as people write it, in seconds since 1970; UTC where it has no offset.

    Raises:
        ConfigError: it is not one.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        expected = "an ISO 8601 date or time such as 2026-03-01 or 2026-03-01T12:00+01:00"
        raise ConfigError(option, text, expected) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
