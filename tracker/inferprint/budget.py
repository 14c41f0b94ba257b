"""Budgets: what a request may use, checked before it runs and while it streams."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn, TypeAlias

from inferprint import flags
from inferprint.errors import BudgetExceeded, BudgetWarning, ConfigError
from inferprint.ranges import Range

if TYPE_CHECKING:
    from inferprint.factors import Factors
    from inferprint.quote import Quote
    from inferprint.receipt import Receipt
    from inferprint.request import Request

BudgetPart: TypeAlias = Literal["energy_j", "carbon_g", "cost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a request may use at most. One part or more; each is checked by itself.

    Args:
        energy_j: joules, as in ``energy.total_j`` of the receipt.
        carbon_g: grams of CO2 equivalent, as in ``carbon``.
        cost: money in the settings' currency, as in ``cost``.

    Raises:
        ConfigError: no part is given, or one is not a finite number above 0.
    """

    energy_j: float | None = None
    carbon_g: float | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        if all(value is None for value in given.values()):
            raise ConfigError("budget", "Budget()", "one or more of " + ", ".join(given))
        for name, value in given.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < math.inf):
                raise ConfigError(name, value, "a finite number above 0")


@dataclass(frozen=True, slots=True)
class Excess:
    """By how much a request is over its budget.

    Args:
        model: the request's.
        budget: what it may use.
        part: which part of the budget it is over.
        limit: that part.
        expected: what it was expected to use (the middle of the quote), or has used.
        when: ``before`` it ran, or ``during``.
        quote: what it was expected to use; None: it was not quoted.
        estimate: what it has used so far, provisional; None: it has not run.
        currency: of a cost.
    """

    model: str
    budget: Budget
    part: BudgetPart
    limit: float
    expected: float
    when: Literal["before", "during"]
    quote: Quote | None = None
    estimate: Receipt | None = None
    currency: str = ""

    @property
    def by(self) -> float:
        """How much more than its budget that is, in the unit of the part."""
        return self.expected - self.limit

    def __str__(self) -> str:
        """One sentence for people."""
        model = " ".join(self.model.split())
        does = "is expected to take" if self.when == "before" else "has taken"
        return (
            f"a request of model {model!r} {does} {self._figure(self.expected)}, "
            f"{self._figure(self.by)} over its budget {self.part}={self.limit:g}"
        )

    def _figure(self, value: float) -> str:
        from inferprint.readable import CARBON, figure  # for people alone

        units = {"energy_j": "J", "carbon_g": CARBON, "cost": self.currency}
        return figure(value, units[self.part])


OnExceed: TypeAlias = (
    Literal["raise", "warn"] | Callable[[Excess], bool] | Callable[[Excess], Awaitable[bool]]
)


def check_budget(budget: object, on_exceed: object) -> None:
    """Refuses a budget that is none, and what can't be done about one that is exceeded.

    Raises:
        ConfigError: it is no Budget; it is neither ``raise`` nor ``warn`` nor callable.
    """
    if budget is not None and not isinstance(budget, Budget):
        raise ConfigError("budget", budget, "an inferprint.Budget")
    if on_exceed not in ("raise", "warn") and not callable(on_exceed):
        expected = "'raise', 'warn', or a function that gets an Excess and returns whether to go on"
        raise ConfigError("on_exceed", on_exceed, expected)


class Guard:
    """Watches over the budget of one request.

    Args:
        budget: what it may use.
        on_exceed: what is done when it is over.
        quote: what it is expected to use.
        factors: what energy means.

    Attributes:
        spent_j: what it was charged in the windows that have closed; the engine tells it.
    """

    def __init__(
        self, budget: Budget, on_exceed: OnExceed, quote: Quote | None, factors: Factors
    ) -> None:
        self.spent_j = 0.0
        self._budget, self._on_exceed, self._quote = budget, on_exceed, quote
        self._uses = _uses(factors, quote)
        # Joules at each part of the budget; infinite where energy costs nothing.
        self._limits_j = _limits_j(budget, self._uses)
        least = min(self._limits_j.items(), key=lambda item: item[1], default=(None, math.inf))
        self._first: BudgetPart | None = least[0]
        self._limit_j = least[1]
        self._currency = factors.currency
        self._over = False
        # What a check while it runs compares with; infinite once nothing is to be done.
        self._stop_j = self._limit_j

    def before(self, request: Request) -> None:
        """Checks its quote before it runs.

        Raises:
            BudgetExceeded: it is over its budget, and is not to run.
            ConfigError: who is to be asked must be awaited.
        """
        if inspect.iscoroutinefunction(self._on_exceed):
            self._refuse_async()
        excess = self._expected_excess(request)
        if excess is None:
            return
        answer = self._ask(excess)
        if _dropped(answer):
            self._refuse_async()
        self._decide(excess, answer)

    async def before_async(self, request: Request) -> None:
        """The same for a request that can wait for an answer.

        Raises:
            BudgetExceeded: it is over its budget, and is not to run.
        """
        excess = self._expected_excess(request)
        if excess is None:
            return
        answer = self._ask(excess)
        self._decide(excess, await answer if inspect.isawaitable(answer) else answer)

    def during(self, request: Request) -> None:
        """Checks what it has used so far.

        Raises:
            BudgetExceeded: it is over its budget, and is to be stopped.
        """
        if self.spent_j <= self._stop_j:
            return
        self._over = True
        if inspect.iscoroutinefunction(self._on_exceed):
            self._stop_j = math.inf  # nobody can wait for an answer here
            return
        excess = self._excess("during", self.spent_j, request)
        answer = self._ask(excess)
        if self._on_exceed == "warn" or answer:
            self._stop_j = math.inf
        if not _dropped(answer):
            self._decide(excess, answer)

    def flags(self, total_j: Range | None) -> frozenset[str]:
        """What its receipt says of its budget; ``total_j`` is what it has used."""
        said = set()
        if self._over or (total_j is not None and total_j.mid > self._limit_j):
            said.add(flags.OVER_BUDGET)
        told = [value for value in (getattr(self._budget, f.name) for f in fields(Budget)) if value]
        if self._quoted_j is None or len(self._limits_j) < len(told):
            said.add(flags.BUDGET_UNCHECKED)
        return frozenset(said)

    @property
    def _quoted_j(self) -> float | None:
        total_j = self._quote.energy.total_j if self._quote is not None else None
        return None if total_j is None else total_j.mid

    def _expected_excess(self, request: Request) -> Excess | None:
        quoted_j = self._quoted_j
        if quoted_j is None or quoted_j <= self._limit_j:
            return None
        self._over = True
        return self._excess("before", quoted_j, request)

    def _excess(self, when: Literal["before", "during"], joules: float, request: Request) -> Excess:
        part = self._first
        assert part is not None
        limit = getattr(self._budget, part)
        return Excess(
            request.model,
            self._budget,
            part,
            limit,
            self._uses[part].at(joules),
            when,
            self._quote,
            request.estimate() if when == "during" else None,
            self._currency,
        )

    def _ask(self, excess: Excess) -> object:
        return self._on_exceed(excess) if callable(self._on_exceed) else None

    def _refuse_async(self) -> NoReturn:
        raise ConfigError(
            "on_exceed",
            self._on_exceed,
            "a function that is not async, where its answer can't be awaited",
            "Enter the request with `async with`.",
        )

    def _decide(self, excess: Excess, answer: object) -> None:
        if self._on_exceed == "warn":
            warnings.warn(str(excess), BudgetWarning, stacklevel=4)
        elif not answer:
            raise BudgetExceeded(excess)


def _dropped(answer: object) -> bool:
    """Whether an answer would have to be awaited; it then never is, and warns nobody of it."""
    if not inspect.isawaitable(answer):
        return False
    close: Callable[[], None] = getattr(answer, "close", lambda: None)
    close()
    return True


class _Use(NamedTuple):
    """How a part of a budget is used up: by each joule, and by the hardware beside that."""

    per_j: float
    beside: float

    def at(self, joules: float) -> float:
        """What so much energy uses of it."""
        return self.beside + self.per_j * joules


def _uses(factors: Factors, quote: Quote | None) -> dict[BudgetPart, _Use]:
    """How the parts are used up; those that can't be told are left out."""
    from inferprint.footprint import footprint  # of requests that have a budget

    one_j = footprint(Range.exactly(1.0), factors)
    uses: dict[BudgetPart, _Use] = {"energy_j": _Use(1.0, 0.0)}
    if one_j.carbon is not None and one_j.carbon.operational_g is not None:
        making = quote.carbon.embodied_g if quote is not None and quote.carbon else None
        uses["carbon_g"] = _Use(one_j.carbon.operational_g.mid, making.mid if making else 0.0)
    if one_j.cost is not None and one_j.cost.electricity is not None:
        machine = quote.cost.hardware if quote is not None and quote.cost else None
        uses["cost"] = _Use(one_j.cost.electricity.mid, machine.mid if machine else 0.0)
    return uses


def _limits_j(budget: Budget, uses: Mapping[BudgetPart, _Use]) -> dict[BudgetPart, float]:
    """The energy that uses up each part of a budget that can be told in joules."""
    given = {part: getattr(budget, part) for part in uses}
    return {
        part: max(0.0, given[part] - use.beside) / use.per_j if use.per_j > 0 else math.inf
        for part, use in uses.items()
        if given[part] is not None
    }
