"""The running sum by which a start and an end cost the same in any company."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.levels import Level


def enter(level: Level, since: float) -> float:
    """One enters, so much above the level; its entry."""
    entry = level.value + since
    level.change(1, entry)
    return entry


def leave(level: Level, since: float, entry: float) -> float:
    """One leaves; what it has earned."""
    level.change(-1, -entry)
    return level.value + since - entry


moves = st.lists(st.tuples(st.sampled_from(["enter", "leave", "rise"]), st.integers(0, 99)))


@given(moves)
def test_members_earn_what_they_would_if_each_were_paid_by_hand(
    steps: list[tuple[str, int]],
) -> None:
    """At every moment what was taken and what is outstanding is what each was due."""
    level = Level()
    members: list[tuple[float, float]] = []  # entry and what it is due
    taken_j = due_j = 0.0
    for what, number in steps:
        if what == "enter":
            members.append((enter(level, 0.0), 0.0))
        elif what == "leave" and members:
            entry, due = members.pop(number % len(members))
            earned = leave(level, 0.0, entry)
            assert earned == pytest.approx(due, rel=1e-9, abs=1e-9)
            taken_j, due_j = taken_j + earned, due_j - due
        elif what == "rise":
            level.rise(float(number) if members else 0.0)
            members = [(entry, due + number) for entry, due in members]
            due_j += number * len(members)
        assert level.members == len(members)
        assert level.outstanding == pytest.approx(due_j, rel=1e-9, abs=1e-9)


def test_one_that_comes_and_goes_within_a_window_earns_its_stretch() -> None:
    """It enters 2 above the level and leaves 5 above it, before the window has ended."""
    level = Level()
    stays = enter(level, 0.0)
    passes = enter(level, 2.0)
    assert leave(level, 5.0, passes) == 3.0
    level.rise(7.0)
    assert level.outstanding == 7.0
    assert leave(level, 0.0, stays) == 7.0


def test_an_empty_group_begins_again_at_nothing() -> None:
    """So that weeks of traffic cost no precision."""
    level = Level()
    entry = enter(level, 0.0)
    level.rise(1e12)
    leave(level, 0.0, entry)
    level.rise(0.0)
    assert (level.value, level.outstanding) == (0.0, 0.0)
    entry = enter(level, 0.0)
    level.rise(1e-6)
    assert leave(level, 0.0, entry) == 1e-6


def test_the_sum_stays_exact_over_many_moves_in_a_group_that_is_never_empty() -> None:
    """One member stays for all of it, with up to a hundred beside it."""
    level = Level()
    enter(level, 0.0)
    entries: list[float] = []
    given_j, taken = [], []
    for number in range(100_000):
        if number % 1_000 < 100:
            entries.append(enter(level, 0.25))
        elif entries and number % 1_000 > 800:
            taken.append(leave(level, 0.5, entries.pop(0)))
        if number % 10 == 0:
            level.rise(1.0 / 3.0)
            given_j.append(1.0 / 3.0)
    outstanding = math.fsum(given_j) + sum(level.value - entry for entry in entries)
    assert level.outstanding == pytest.approx(outstanding, rel=1e-11)
