"""What can go wrong, as one tree:

    InferprintError
     +-- ConfigError            a setting or an argument is not usable (also a ValueError)
     |    +-- TokenError        a token count is negative or not a whole number
     +-- BudgetExceeded         a request is over the budget that it was given
     +-- NotSettled             the receipt was not settled in time (also a TimeoutError)
     +-- SourceError            a power source
     |    +-- SourceUnavailable   it was asked for by name and is not there
     |    +-- ReadingError        it is there and could not be read just now
     +-- MissingExtra           an optional package is not installed (also an ImportError)

None but ``BudgetExceeded``, which is asked for with a budget, is ever raised into a tracked call:
the user's own exceptions pass through unchanged, and a fault of the tracker is counted, logged
once and flagged on receipts. ``BudgetWarning`` is a warning, for budgets that only warn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferprint.budget import Budget, Excess
    from inferprint.quote import Quote
    from inferprint.receipt import Receipt

__all__ = [
    "BudgetExceeded",
    "BudgetWarning",
    "ConfigError",
    "InferprintError",
    "MissingExtra",
    "NotSettled",
    "ReadingError",
    "SourceError",
    "SourceUnavailable",
    "TokenError",
]


class InferprintError(Exception):
    """The base of every error that inferprint raises."""


class ConfigError(InferprintError, ValueError):
    """A setting or an argument that can't be used.

    Args:
        field: the name of the setting or argument.
        given: what was given.
        expected: what would be right.
        mend: the command or the step that mends it, where there is one.
    """

    def __init__(self, field: str, given: object, expected: str, mend: str = "") -> None:
        self.field = field
        self.given = given
        self.expected = expected
        self.mend = mend
        super().__init__(f"{field}={given!r}: expected {expected}." + (f" {mend}" if mend else ""))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[object, ...]]:
        return type(self), (self.field, self.given, self.expected, self.mend)


class TokenError(ConfigError):
    """A token count that is negative or not a whole number."""


class BudgetExceeded(InferprintError):
    """A request was expected to use more than its budget, or has.

    Args:
        excess: which part of the budget, by how much, and when that was seen.
    """

    def __init__(self, excess: Excess) -> None:
        self.excess = excess
        super().__init__(str(excess))

    def __reduce__(self) -> tuple[type[BudgetExceeded], tuple[Excess]]:
        return type(self), (self.excess,)

    @property
    def budget(self) -> Budget:
        """The budget."""
        return self.excess.budget

    @property
    def quote(self) -> Quote | None:
        """What it was expected to use; None: it was not quoted."""
        return self.excess.quote

    @property
    def estimate(self) -> Receipt | None:
        """What it has used so far, provisional; None: it has not run."""
        return self.excess.estimate


class BudgetWarning(UserWarning):
    """The same as a warning, for ``on_exceed="warn"``."""


class NotSettled(InferprintError, TimeoutError):
    """The receipt was asked for before its energy was known."""


class SourceError(InferprintError):
    """A fault of a power source.

    Args:
        message: what happened, and the command that mends it where there is one.
        kind: a short constant word for the metric's `kind` label, such as
            ``permission``, ``lost``, ``timeout``.
    """

    def __init__(self, message: str, kind: str = "error") -> None:
        self.kind = kind
        super().__init__(message)


class SourceUnavailable(SourceError):
    """A power source that was asked for by name and is not there."""


class ReadingError(SourceError):
    """A power source that is there and could not be read just now."""


class MissingExtra(InferprintError, ImportError):
    """An optional package that is not installed.

    Args:
        feature: what needs it.
        extra: the extra of this distribution that brings it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        self.feature = feature
        self.extra = extra
        super().__init__(f"{feature} needs the extra {extra!r}: pip install 'inferprint[{extra}]'")
