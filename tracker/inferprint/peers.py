"""What an engine needs of whoever brings it the requests of other processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from inferprint.books import Books
    from inferprint.request import Request


class Peers(Protocol):
    """Processes that tell of their requests, each a little late; called in the engine's thread.

    Attributes:
        cpu_s: CPU seconds of the thread that hears them.
    """

    cpu_s: float

    def release(self, now_ns: int) -> int:
        """Puts what they told into the engine's queues, in the order of time, as far as all of it
        is known by now.

        Returns:
            The instant up to which it is: windows that end later have to wait.
        """
        ...

    def settled(self, requests: Sequence[Request]) -> Iterator[None]:
        """Requests were settled, others than theirs among them; yields at each."""
        ...

    def closed(self, books: Books) -> None:
        """Windows have closed."""
        ...
