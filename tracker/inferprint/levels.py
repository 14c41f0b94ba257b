"""What one equal share has earned so far, so that a start and an end cost the same with
ten requests in flight as with ten thousand.
"""

from __future__ import annotations


class Level:
    """The running sum of what each member of a changing group has earned.

    Every member earns alike at each instant. One that enters at level ``a`` and leaves at
    level ``b`` has earned ``b - a``; what all present members have earned and not taken
    yet is ``members * value - sum of their entries``.
    """

    __slots__ = ("_entries_sum", "members", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.members = 0
        self._entries_sum = 0.0

    @property
    def outstanding(self) -> float:
        """What the present members have earned together."""
        return self.members * self.value - self._entries_sum

    def change(self, members: int, entries: float) -> None:
        """Members have entered and left.

        Args:
            members: by how many there are more.
            entries: the entry levels of those that entered, less those of the ones that left.
        """
        self.members += members
        self._entries_sum += entries

    def rise(self, by: float) -> None:
        """A window ends: each member that was there for all of it has earned ``by``.

        An empty group begins again at 0, so that the sum stays exact for weeks.
        """
        self.value += by
        if not self.members:
            self.value = self._entries_sum = 0.0
