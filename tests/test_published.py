"""Published results come back through the public API."""

from __future__ import annotations

import json

import pytest
from benchmarks.published import __main__ as published
from benchmarks.published.bloom import replay
from benchmarks.published.rows import Row


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """A quick run."""
    return published.rows(quick=True)


def test_every_row_of_the_table_is_there(rows: list[Row]) -> None:
    """Rows 1 to 12, in order; each quantity once, each with its method."""
    numbers = [row.row for row in rows]
    assert sorted(set(numbers)) == list(range(1, 13))
    assert numbers == sorted(numbers)
    assert len({(row.row, row.quantity, row.unit) for row in rows}) == len(rows)
    assert all(row.note for row in rows)


def test_rows_with_exact_input_agree_to_one_percent(rows: list[Row]) -> None:
    """Thirty or more figures; what can't be recomputed is unknown, not made up."""
    exact = [row for row in rows if row.exact]
    assert len(exact) >= 30
    assert published.missed(rows) == []
    assert [row.quantity for row in rows if row.got is None] == ["narrow boundary"]


def test_a_row_that_is_off_is_told() -> None:
    """The check can fail: by more than 1 %, and by not being known."""
    off = Row(1, "q", "Wh", 1.0, 1.02, True, "n")
    unknown = Row(1, "u", "Wh", 1.0, None, True, "n")
    chosen = Row(1, "c", "Wh", 1.0, 2.0, False, "n")
    assert published.missed([off, unknown, chosen]) == [off, unknown]


def test_the_resident_share_follows_from_the_floor() -> None:
    """A deployment whose floor is its mean power spends all of its energy resident; at half the
    floor, half of it. The tracker sees idle power for itself.
    """
    assert replay({"gpu": 1000.0}, {"gpu": 1000.0}, 50).resident == pytest.approx(1.0, rel=1e-6)
    assert replay({"gpu": 1000.0}, {"gpu": 500.0}, 50).resident == pytest.approx(0.5, rel=0.01)


def test_overlapping_requests_are_counted_once(rows: list[Row]) -> None:
    """Receipts sum to the meter at any concurrency; snapshots to the concurrency times 5/6."""
    found = {row.quantity: row.got for row in rows if row.row == 10}
    for together in (1, 4, 8, 32, 100):
        assert found[f"ours, {together} at a time"] == pytest.approx(1.0, abs=1e-6)
        snapshots = found[f"snapshots, {together} at a time"]
        assert snapshots == pytest.approx(together * 5 / 6, rel=1e-6)


def test_the_command_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rows: list[Row]
) -> None:
    """One object with the rows; exit code 1 when one is off."""
    monkeypatch.setattr(published, "rows", lambda quick: rows)
    assert published.main(["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["rows"]
    assert {"row", "quantity", "unit", "published", "got"} <= set(printed[0])
    monkeypatch.setattr(published, "rows", lambda quick: [Row(1, "q", "g", 1.0, 2.0, True, "n")])
    assert published.main([]) == 1
