"""Keeps what quotes need: the outlook of now, and how far earlier ones were off.

A sample of the requests is followed from its start, with the outlook of then; what each used in
the end, beside what that outlook says of its tokens, is the record of its model.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferprint import flags
from inferprint.learning.crowd import Load
from inferprint.learning.record import Record
from inferprint.outlook import NOTHING_KNOWN, DeviceOutlook, Outlook, model_outlook
from inferprint.units import NS_PER_S, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferprint.attribution import Ledger
    from inferprint.books import Account, Books
    from inferprint.learning.hearing import Told
    from inferprint.learning.pace import Pace

SAMPLES_PER_S = 50
"""Requests a second whose outlook is followed, at most: each is quoted twice once settled."""

_LEAST_APART_NS = NS_PER_S // SAMPLES_PER_S

RESIDENCES_APART = 0.05
"""Between the starts of two of a model, over how long a request is in flight: those that start
together run beside the same others, so that a record of many at once would know no other load."""

FOLLOWED = 3.0
"""Requests count in the record if the load had been followed this many times as long as they were
to run: how wrong the first quotes are says nothing of later ones."""

_LOST = {flags.COUNTER_RESET, flags.GAP, flags.MISSING_READING}


class Quoting:
    """Makes outlooks, and learns how far they are off.

    Args:
        records: what was learned before, by model.

    Attributes:
        outlook: the latest; it may be read by any thread.
    """

    def __init__(self, records: Mapping[str, Record] | None = None) -> None:
        self.outlook: Outlook = NOTHING_KNOWN
        self.records: dict[str, Record] = dict(records or {})
        self._load = Load()
        # When the next request may be one of the sample: of all, and by model.
        self._any_next_ns = 0
        self._next_ns: dict[str, int] = {}

    def refresh(self, at_ns: int, books: Books, paces: Mapping[str, Pace]) -> None:
        """Windows have closed: looks at all anew."""
        crowd = self._load.crowd(at_ns, books.running, *books.load())
        if not paces:
            return
        quiet = not books.running
        self.outlook = Outlook(
            crowd,
            tuple(_device(ledger, at_ns, quiet) for ledger in books.ledgers.values()),
            {model: model_outlook(pace, self._record(model)) for model, pace in paces.items()},
        )

    def start(self, account: Account, books: Books) -> None:
        """A request starts, and the books are told of it next: if it is one of the sample, it is
        followed.
        """
        model, at_ns, outlook = account.model, account.started_ns, self.outlook
        if at_ns < max(self._any_next_ns, self._next_ns.get(model, 0)):
            return
        if model in outlook.models:
            apart_s = RESIDENCES_APART * outlook.crowd.residence_s
            self._next_ns[model] = at_ns + round(apart_s * NS_PER_S)
            self._any_next_ns = at_ns + _LEAST_APART_NS
            account.outlook = outlook.beside(books.running)

    def settle(self, account: Account, told: Told, most: int | None, ok: bool) -> None:
        """A request was settled.

        Args:
            account: its account.
            told: its tokens.
            most: output tokens at most, as it was told before; None: it was not.
            ok: whether it came to its own end.
        """
        outlook, account.outlook = account.outlook, None
        books = account.books
        if outlook is None or books is None or not told.output or _is_partial(account, books):
            return
        record = self._record(account.model)
        usual = outlook.models[account.model].usual.output(most)
        if ok:
            record.lengths.add(told.output, most)
        known = outlook.expected(account.model, told.prompt or 0, told.output)
        guessed = (
            known if usual is None else outlook.expected(account.model, told.prompt or 0, usual)
        )
        # Not whether it was long: those that were would then be missing from the record.
        if (
            known is None
            or guessed is None
            or outlook.crowd.followed_s < FOLLOWED * guessed.duration_s
        ):
            return
        assert account.ended_ns is not None
        actual_s = seconds(account.ended_ns - account.started_ns)
        actual_j = books.earned_j(account)
        record.energy.add(actual_j, known.total_j)
        record.duration.add(actual_s, known.duration_s)
        if ok and usual is not None:
            record.energy_of_usual.add(actual_j, guessed.total_j)
            record.duration_of_usual.add(actual_s, guessed.duration_s)

    def _record(self, model: str) -> Record:
        record = self.records.get(model)
        if record is None:
            record = self.records[model] = Record()
        return record


def _is_partial(account: Account, books: Books) -> bool:
    """Whether a part of what it used is not known, or others did a part of its work."""
    if account.paid or account.children:
        return True
    return any(_LOST & ledger.said(stake) for ledger, stake in books.stakes_of(account))


def _device(ledger: Ledger, at_ns: int, quiet: bool) -> DeviceOutlook:
    learned = ledger.weights.prices()
    # Until own work is told apart, receipts are by equal shares of all that is active.
    shared_w, own_j = learned if learned is not None else (ledger.busy_w.value, {})
    return DeviceOutlook(
        ledger.device,
        shared_w,
        own_j,
        ledger.shared_idle_w,
        ledger.standing_due_j(at_ns, quiet),
    )
