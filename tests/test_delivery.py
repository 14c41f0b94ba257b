"""Exporters: what they are given, and that none of them can harm a request or another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from inferprint import ConfigError, Exporter, Receipt, Tracker, delivery
from inferprint.delivery import MOST_WAITING, Outbox
from receipts import receipt
from rig import Kept, SteadySource, by_hand, live

SOON_S = 5.0


class Broken(Kept):
    """Raises where it is told to."""

    name = "broken"

    def __init__(self, where: str, error: BaseException | None = None) -> None:
        super().__init__()
        self._where, self._error = where, error or OSError("disk full")

    def start(self, tracker: Tracker) -> None:
        super().start(tracker)
        self._may_raise("start")

    def export(self, receipts: Sequence[Receipt]) -> None:
        self._may_raise("export")
        super().export(receipts)

    def close(self) -> None:
        super().close()
        self._may_raise("close")

    def _may_raise(self, where: str) -> None:
        if where == self._where:
            raise self._error

    def recover(self) -> None:
        self._where = "nowhere"


class Stuck(Kept):
    """Hangs where it is told to, until it is let go."""

    name = "stuck"

    def __init__(self, where: str) -> None:
        super().__init__()
        self.let_go = threading.Event()
        self._where = where

    def start(self, tracker: Tracker) -> None:
        self._may_hang("start")
        super().start(tracker)

    def export(self, receipts: Sequence[Receipt]) -> None:
        self._may_hang("export")
        super().export(receipts)

    def close(self) -> None:
        self._may_hang("close")
        super().close()

    def _may_hang(self, where: str) -> None:
        if where == self._where:
            self.let_go.wait(SOON_S)


class Threads(Kept):
    """Notes from which threads it is called."""

    name = "threads"

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[threading.Thread] = []

    def start(self, tracker: Tracker) -> None:
        self.seen.append(threading.current_thread())

    def export(self, receipts: Sequence[Receipt]) -> None:
        self.seen.append(threading.current_thread())

    def close(self) -> None:
        self.seen.append(threading.current_thread())


everywhere = pytest.mark.parametrize("where", ["start", "export", "close"])


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop and a start wait a tenth of a second for an exporter that hangs."""
    monkeypatch.setattr(delivery, "CLOSE_S", 0.1)
    monkeypatch.setattr("inferprint._runtime.START_S", 0.1)


def serve_one(tracker: Tracker) -> None:
    with tracker.request("m"):
        time.sleep(0.01)


def flush_both(tracker: Tracker, kept: Kept, count: int) -> None:
    """Waits until a good exporter has so many receipts, whatever the other one does."""
    deadline = time.monotonic() + SOON_S
    while len(kept.receipts) < count and time.monotonic() < deadline:
        tracker.flush(timeout=0.05)
    assert len(kept.receipts) == count


def test_receipts_come_in_the_order_of_settlement() -> None:
    """Each exporter has every receipt once, oldest first."""
    kept, other = Kept(), Kept()
    with live(exporters=[kept, other]) as tracker:
        for number in range(100):
            with tracker.request(str(number)):
                pass
        assert tracker.flush()
    assert [made.model for made in kept.receipts] == [str(number) for number in range(100)]
    assert kept.receipts == other.receipts


def test_an_exporter_is_called_from_one_thread() -> None:
    """Its own, from its start to its close: what it opens there it may use there."""
    exporter = Threads()
    with live(exporters=[exporter]) as tracker:
        serve_one(tracker)
        assert tracker.flush()
    assert len(exporter.seen) >= 3
    (thread,) = set(exporter.seen)
    assert thread.name == "inferprint-threads"
    assert thread.daemon
    assert not thread.is_alive()


@everywhere
@pytest.mark.parametrize("on_real_clock", [True, False])
def test_an_exporter_that_raises_harms_nobody(
    where: str, on_real_clock: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and logged once; the request and the other exporter are as they were."""
    broken, kept = Broken(where), Kept()
    if on_real_clock:
        with live(exporters=[broken, kept]) as tracker:
            for number in range(1, 4):
                serve_one(tracker)
                flush_both(tracker, kept, number)
    else:
        with by_hand(exporters=[broken, kept]) as rig:
            tracker = rig.tracker
            for _ in range(3):
                rig.ran()
                rig.receipts()
    status = tracker.status()
    assert len(kept.receipts) == 3
    assert broken.closed
    assert status.source_errors["exporter broken", "OSError"] >= 1
    assert status.dropped_receipts == {"broken": 3 if where == "export" else 0, "kept": 0}
    said = [record for record in caplog.records if "disk full" in record.getMessage()]
    assert len(said) == 1
    assert said[0].levelno == logging.WARNING


def test_an_exporter_that_recovers_goes_on() -> None:
    """Receipts that it could not take are counted as dropped, and the next ones arrive."""
    broken = Broken("export")
    with by_hand(exporters=[broken]) as rig:
        rig.ran("lost")
        rig.receipts()
        broken.recover()
        rig.ran("kept")
        rig.receipts()
        assert rig.tracker.status().dropped_receipts["broken"] == 1
    assert [made.model for made in broken.receipts] == ["kept"]


@pytest.mark.parametrize("on_real_clock", [True, False])
def test_what_the_user_can_mend_is_raised_by_start(on_real_clock: bool) -> None:
    """An exporter's ConfigError, such as of a port in use, comes out of ``start``, which
    leaves nothing running.
    """
    error, kept = ConfigError("prometheus_port", 80, "a port that is free"), Kept()
    broken = Broken("start", error)
    rig = live if on_real_clock else by_hand
    with pytest.raises(ConfigError) as caught, rig(exporters=[broken, kept]):
        pytest.fail("it did not start")
    assert caught.value is error
    assert kept.closed


def test_a_request_does_not_see_an_exporter_that_cannot_start() -> None:
    """Where a request starts the tracker, the error is counted, and the request goes on."""
    error, kept = ConfigError("prometheus_port", 80, "a port that is free"), Kept()
    tracker = Tracker(sources=[SteadySource()], exporters=[Broken("start", error), kept])
    serve_one(tracker)
    flush_both(tracker, kept, 1)
    assert tracker.status().source_errors == {("exporter broken", "ConfigError"): 1}
    tracker.stop()


@everywhere
@pytest.mark.usefixtures("short_waits")
def test_an_exporter_that_hangs_holds_up_nobody(where: str) -> None:
    """Requests, receipts, the other exporter, ``flush`` and ``stop`` go on without it."""
    stuck, kept = Stuck(where), Kept()
    tracker = Tracker(sources=[SteadySource()], exporters=[stuck, kept])
    tracker.start()
    serve_one(tracker)
    flush_both(tracker, kept, 1)
    began = time.monotonic()
    assert tracker.flush(timeout=0.05) == (where == "close")
    tracker.stop()
    assert time.monotonic() - began < 1.5
    assert kept.closed
    assert not stuck.closed
    stuck.let_go.set()


@pytest.mark.usefixtures("short_waits")
def test_what_a_hanging_exporter_does_not_take_is_counted() -> None:
    """After the stop, what still waited for it is dropped, and status says how much."""
    stuck = Stuck("start")
    tracker = Tracker(sources=[SteadySource()], exporters=[stuck]).start()
    for _ in range(3):
        serve_one(tracker)
    tracker.stop()
    assert tracker.status().dropped_receipts == {"stuck": 3}
    stuck.let_go.set()


@pytest.fixture
def outbox() -> Iterator[tuple[Outbox, Stuck]]:
    """An outbox whose exporter hangs in its start until it is let go."""
    stuck = Stuck("start")
    outbox = Outbox(stuck, lambda where, error: pytest.fail(f"{where}: {error}"))
    outbox.open(lambda: stuck.start(None), threaded=True)  # type: ignore[arg-type]
    yield outbox, stuck
    stuck.let_go.set()
    outbox.close()


def test_what_waits_is_bounded(outbox: tuple[Outbox, Stuck]) -> None:
    """A slow exporter gets what there was room for; what came on top is counted."""
    box, stuck = outbox
    made = receipt()
    box.put([made] * (MOST_WAITING - 1))
    box.put([made] * 3)
    box.put([made])
    assert box.dropped == 3
    assert not box.flush(0.01)
    stuck.let_go.set()
    assert box.flush(SOON_S)
    assert len(stuck.receipts) == MOST_WAITING


def test_an_outbox_hands_over_what_waits_when_it_closes(outbox: tuple[Outbox, Stuck]) -> None:
    """Nothing that was put before the close is lost."""
    box, stuck = outbox
    box.put([receipt()] * 7)
    stuck.let_go.set()
    box.close()
    assert len(stuck.receipts) == 7
    assert stuck.closed
    assert box.dropped == 0


@pytest.mark.parametrize("missing", ["name", "start", "export", "close"])
def test_what_is_no_exporter_is_not_taken(missing: str) -> None:
    """An object that lacks a part of an exporter is refused in the constructor."""
    parts = {part: getattr(Kept, part) for part in ("name", "start", "export", "close")}
    assert isinstance(type("Whole", (), parts)(), Exporter)
    del parts[missing]
    with pytest.raises(ConfigError, match="exporters="):
        Tracker(sources=[], exporters=[type("Lacking", (), parts)()])


class Told(Threads):
    """Takes feedback."""

    name = "told"

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.told: list[tuple[str, bool]] = []
        self._error = error

    def feedback(self, request_id: str, useful: bool) -> None:
        self.seen.append(threading.current_thread())
        self.told.append((request_id, useful))
        if self._error is not None:
            raise self._error


def test_feedback_goes_to_the_exporters_that_take_it() -> None:
    """In the order in which it was told, from their own thread, waited for by a flush alone."""
    exporter, other = Told(), Kept()
    with live(exporters=[other, exporter]) as tracker:
        assert tracker.feedback("one")
        assert tracker.feedback("two", useful=True)
        assert tracker.flush()
        assert exporter.told == [("one", False), ("two", True)]
    assert len(set(exporter.seen)) == 1


def test_feedback_that_nobody_takes_is_told() -> None:
    """By False, as before the start: nothing keeps it."""
    tracker = Tracker(sources=[], exporters=[Told()])
    assert not tracker.feedback("one")
    with live(exporters=[Kept()]) as running:
        assert not running.feedback("one")


def test_feedback_that_fails_harms_nobody() -> None:
    """It is counted as the exporter's fault; receipts go on."""
    exporter = Told(OSError("disk full"))
    with live(exporters=[exporter]) as tracker:
        assert tracker.feedback("one")
        serve_one(tracker)
        assert tracker.flush()
        assert tracker.status().source_errors == {("exporter told", "OSError"): 1}


def test_feedback_on_a_clock_moved_by_hand_is_passed_on_at_once() -> None:
    """There is no thread that could."""
    exporter = Told()
    with by_hand(exporters=[exporter]) as rig:
        rig.tracker.feedback("one", useful=False)
        assert exporter.told == [("one", False)]


@pytest.mark.parametrize(
    ("request_id", "useful", "field"),
    [(None, False, "request_id"), ("", False, "request_id"), ("one", "no", "useful")],
)
def test_feedback_that_is_none_is_refused(request_id: Any, useful: Any, field: str) -> None:
    """With what would be right."""
    with live() as tracker, pytest.raises(ConfigError) as caught:
        tracker.feedback(request_id, useful=useful)
    assert caught.value.field == field
