"""Keeps what quotes need: the outlook of now, and how far earlier ones were off.

A sample of the requests is followed from its start, with the outlook of then; what each used in
the end, beside what that outlook says of its tokens, is the record of its model.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferprint.learning.crowd import Load
from inferprint.learning.record import Record
from inferprint.outlook import NOTHING_KNOWN, DeviceOutlook, Found, ModelOutlook, Outlook
from inferprint.units import NS_PER_S, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferprint.attribution import Ledger
    from inferprint.books import Account, Books
    from inferprint.learning.hearing import Told
    from inferprint.learning.pace import Pace

SAMPLES_PER_S = 20
"""Requests a second whose outlook is followed; more of them tell little more."""

_SAMPLE_NS = NS_PER_S // SAMPLES_PER_S


class Quoting:
    """Makes outlooks, and learns how far they are off.

    Attributes:
        outlook: the latest; it may be read by any thread.
    """

    def __init__(self) -> None:
        self.outlook: Outlook = NOTHING_KNOWN
        self.records: dict[str, Record] = {}
        self._load = Load()
        self._next_ns = 0

    def refresh(self, at_ns: int, books: Books, paces: Mapping[str, Pace]) -> None:
        """Windows have closed: looks at all anew."""
        crowd = self._load.crowd(at_ns, books.running, *books.load())
        if not paces:
            return
        quiet = not books.running
        self.outlook = Outlook(
            crowd,
            tuple(_device(ledger, at_ns, quiet) for ledger in books.ledgers.values()),
            {model: _model(pace, self._record(model)) for model, pace in paces.items()},
        )

    def start(self, account: Account) -> None:
        """A request has started: if it is one of the sample, it is followed."""
        if account.started_ns >= self._next_ns and account.model in self.outlook.models:
            self._next_ns = account.started_ns + _SAMPLE_NS
            account.outlook = self.outlook

    def settle(self, account: Account, told: Told, most: int | None, ok: bool) -> None:
        """A request was settled.

        Args:
            account: its account.
            told: its tokens.
            most: output tokens at most, as it was told before; None: it was not.
            ok: whether it came to its own end.
        """
        outlook, account.outlook = account.outlook, None
        if outlook is None or account.children or not told.output or account.books is None:
            return
        earned = [ledger.earned(stake) for ledger, stake in account.books.stakes_of(account)]
        actual_j = sum(map(sum, earned))
        assert account.ended_ns is not None
        actual_s = seconds(account.ended_ns - account.started_ns)
        model, prompt, record = account.model, told.prompt or 0, self._record(account.model)
        known = outlook.expected(model, prompt, told.output)
        if known is not None:
            record.energy.add(actual_j, known.total_j)
            record.duration.add(actual_s, known.duration_s)
        usual = outlook.models[model].usual.output(most) if ok else None
        guessed = outlook.expected(model, prompt, usual) if usual is not None else None
        if guessed is not None:
            record.energy_of_usual.add(actual_j, guessed.total_j)
            record.duration_of_usual.add(actual_s, guessed.duration_s)
        if ok:
            record.lengths.add(told.output, most)

    def _record(self, model: str) -> Record:
        record = self.records.get(model)
        if record is None:
            record = self.records[model] = Record()
        return record


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


def _model(pace: Pace, record: Record) -> ModelOutlook:
    return ModelOutlook(
        pace.prompts.rate,
        pace.prompts.ahead,
        pace.output_rate.value,
        record.lengths.usual,
        Found(record.energy.spread, record.duration.spread),
        Found(record.energy_of_usual.spread, record.duration_of_usual.spread),
    )
