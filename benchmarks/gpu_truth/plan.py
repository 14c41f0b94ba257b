"""What is replayed: who the players are, which coalitions of them, when each request starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.gpu_truth.shapley import (
    Coalition,
    Order,
    coalitions,
    every_order,
    sampled_orders,
)


@dataclass(frozen=True)
class Player:
    """A request of fixed length, which is sent again in every replay that it is part of."""

    name: str
    input_tokens: int
    output_tokens: int


# Short and long, of prompt and of output, and two alike: what these two differ by in truth and
# on their receipts is noise.
SIX = (
    Player("short", 128, 128),
    Player("writer", 128, 512),
    Player("reader", 2048, 64),
    Player("chat", 512, 256),
    Player("twin a", 256, 256),
    Player("twin b", 256, 256),
)
FOUR = (SIX[1], SIX[2], SIX[4], SIX[5])
TINY = (Player("short", 16, 8), Player("writer", 16, 24), Player("reader", 64, 8))


@dataclass(frozen=True)
class Plan:
    """How the coalitions are measured.

    Args:
        players: the requests.
        orders: the orders of arrival that the values are averaged over.
        sampled: whether these are a sample of all orders.
        draws: how often each coalition is measured.
        least_s: a replay sends its requests again until this long has passed.
        offset_s: a request starts up to this long after the replay's round does.
        settle_s: from the last token to the end of a replay's measurement.
        quiet_s: without requests after each replay, for idle power.
        seed: of the offsets and of the order in which coalitions are measured.
    """

    players: Sequence[Player]
    orders: Sequence[Order]
    sampled: bool = False
    draws: int = 3
    least_s: float = 5.0
    offset_s: float = 1.0
    settle_s: float = 0.5
    quiet_s: float = 1.0
    seed: int = 1

    @property
    def everyone(self) -> Coalition:
        """All players together."""
        return frozenset(range(len(self.players)))

    @property
    def longest_tokens(self) -> int:
        """Of a prompt and its output together, the most."""
        return max(player.input_tokens + player.output_tokens for player in self.players)

    def replays(self) -> list[tuple[int, Coalition]]:
        """(draw, coalition) in the order in which they are measured, mixed within each draw so
        that a board that warms up does not favour any.
        """
        rng = Random(f"{self.seed} replays")
        wanted = coalitions(self.orders)
        return [(d, c) for d in range(self.draws) for c in rng.sample(wanted, len(wanted))]

    def offsets_s(self, draw: int, round_: int) -> list[float]:
        """When each player's request starts in a round of a draw.

        It is the same whoever else takes part: coalitions then differ by their members alone.
        """
        rng = Random(f"{self.seed} {draw} {round_}")
        return [rng.uniform(0.0, self.offset_s) for _ in self.players]


def orders_for(players: Sequence[Player], sampled: int | None, seed: int = 1) -> list[Order]:
    """Every order of the players, or so many drawn ones."""
    if sampled is None:
        return every_order(len(players))
    return sampled_orders(len(players), sampled, Random(f"{seed} orders"))
