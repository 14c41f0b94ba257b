"""What a source that is asked again and again gives, or raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inferprint.intensity.series import Slot

__all__ = ["Fault", "Feed"]


class Fault(Exception):
    """Why there is no newer value.

    Args:
        message: what happened, and the command that mends it where there is one.
        kind: a short constant word: the first of each kind is logged.
        retry_after_s: how long the source asks to be left alone.
        withdrawn: what was known before is in doubt from now on, not only when it is old.
    """

    def __init__(
        self,
        message: str,
        kind: str = "garbage",
        retry_after_s: float = 0.0,
        withdrawn: bool = False,
    ) -> None:
        self.kind, self.retry_after_s, self.withdrawn = kind, retry_after_s, withdrawn
        super().__init__(message)


class Feed(Protocol):
    """Where newer values come from. Its methods are called from one thread."""

    @property
    def name(self) -> str:
        """As the settings name it."""
        ...

    @property
    def basis(self) -> str:
        """What its values count; the same for all of them."""
        ...

    def fetch(self, now_s: float) -> Sequence[Slot] | None:
        """The newest values, which replace all from the first of them on.

        Args:
            now_s: Unix time.

        Returns:
            At least one; None: those that were given last are the newest.

        Raises:
            Fault: there are none.
        """
        ...
