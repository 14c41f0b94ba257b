"""What is expected of the models on one device beside each other.

Those whose requests come and go together are hard to tell apart. As far as observations leave
it open, one costs about what another does, and more so in proportion: a model of which an
output token takes twice what another's does takes twice as much for a prompt token too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from inferprint.learning.fit import Observation

# Both tried on the simulated servers of benchmarks/attribution with two models, whose costs
# are 2.5 apart.
UNLIKE = 2.0
"""Deviation of the difference of two models' costs of a token, relative to the larger."""

DISPROPORTION = 0.25
"""Deviation of the logarithm of a cost, relative to the cost of an output token, between two
models."""

_OUTPUT = 1

Costs = Sequence[tuple[int, float]]
"""One model's: the index of each parameter, and what it is taken to be, more than 0."""


def alike(models: Sequence[Costs]) -> Iterator[Observation]:
    """What is expected of models, as observations that are linear about what they are taken to
    cost.
    """
    for one, other in pairwise(models):
        for kind in range(len(one)):
            yield _as_dear(one[kind], other[kind])
            if kind != _OUTPUT:
                yield _in_proportion((one[kind], other[_OUTPUT]), (other[kind], one[_OUTPUT]))


def _as_dear(one: tuple[int, float], other: tuple[int, float]) -> Observation:
    scale = 1 / max(one[1], other[1])
    return [(one[0], scale), (other[0], -scale)], 0.0, UNLIKE**-2


def _in_proportion(above: Costs, below: Costs) -> Observation:
    """The product of two costs is that of two others."""
    row = [(i, 1 / cost) for i, cost in above] + [(i, -1 / cost) for i, cost in below]
    off = math.log(_product(above) / _product(below))
    return row, -off, DISPROPORTION**-2


def _product(costs: Costs) -> float:
    return math.prod(cost for _, cost in costs)
