"""The store: every receipt once, with what it adds up to, from any number of processes."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, select, true

from inferprint import Config, Tracker, flags
from inferprint.impacts import Carbon, Cost, Factor, Materials, PrimaryEnergy, Training, Water
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import Tokens
from inferprint_exporters.store import StoreExporter
from inferprint_exporters.store.fold import summed
from inferprint_exporters.store.tables import CELL, DIMENSIONS, SUMS, sums
from receipts import component, receipt
from stores import at, day_of_load, reported, stored, url_of
from support import run_python

# What was added and taken away again leaves a rounding of the largest figure, up to 1e7 here.
CLOSE = {"rel": 1e-9, "abs": 1e-7}
GRID = Factor("grid_carbon_intensity", 56.0, "gCO2e/kWh", "config", low=50.0, high=60.0)


def full(request_id: str = "full", **changes: Any) -> Receipt:
    """A receipt of which every figure is known, each its own number."""
    made = receipt(
        request_id=request_id,
        labels={"route": "/chat", "tenant": "a", "phase": "load", "team": "blue"},
        tokens=Tokens(100, 10, 50),
        time_to_first_token_s=0.5,
        parts={"gpu": component(1.0, 2.0, 3.0), "cpu": component(0.1, 0.2, 0.3)},
        carbon=Carbon(7, 8, 9, Range(5, 6, 7), Range(2, 2, 2), "average"),
        water=Water(1, 2, 3, Range.exactly(1.5), Range.exactly(0.5)),
        cost=Cost(0.1, 0.2, 0.3, "EUR", Range.exactly(0.15), Range.exactly(0.05)),
        quote_error_ratio=1.1,
    )
    return replace(
        made,
        **{
            "energy": replace(made.energy, overhead_j=Range(0.5, 1.0, 1.5)),
            "materials": Materials(1, 2, 3, Range.exactly(1.2), Range.exactly(0.8)),
            "primary_energy": PrimaryEnergy(4, 5, 6, Range.exactly(3.0), Range.exactly(2.0)),
            "training": Training(Range.exactly(11.0), Range.exactly(12.0)),
            "reserved_s": 0.5,
            "flags": frozenset({flags.SHORT, flags.GAP}),
            "factors": (GRID, Factor("pue", 1.2, "ratio", "config")),
            **changes,
        },
    )


def rows(url: str, sql: str) -> list[Any]:
    """What an SQL query of a store's file gives."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def check_sums(url: str) -> None:
    """The table of sums holds what the receipts add up to, for every dimension."""
    engine = create_engine(url)
    kept = select(*(sums.c[name] for name in (*CELL, *SUMS))).where(sums.c.requests != 0)
    with engine.connect() as connection:
        expected = {row[: len(CELL)]: row for row in connection.execute(summed(true()))}
        found = {row[: len(CELL)]: row for row in connection.execute(kept)}
    engine.dispose()
    assert found.keys() == expected.keys()
    for cell, row in found.items():
        figures = [float(figure) for figure in row[len(CELL) :]]
        made = [float(figure) for figure in expected[cell][len(CELL) : len(CELL) + len(SUMS)]]
        assert figures == pytest.approx(made, **CLOSE), cell


def test_every_figure_of_a_receipt_is_kept(tmp_path: Path) -> None:
    """Each in a column of its own, with its ends where it has any."""
    url = stored(tmp_path, [full()])
    columns = (
        "request_id, model, route, tenant, phase, labels, outcome, duration_s, reserved_s,"
        "input_tokens, cached_input_tokens, output_tokens, energy_j, active_j, idle_j, standing_j,"
        "overhead_j_low, overhead_j, overhead_j_high, gpu_energy_j, gpu_idle_j, cpu_standing_j,"
        "carbon_g_low, carbon_g, carbon_g_high, carbon_operational_g, carbon_embodied_g,"
        "carbon_basis, water_l, water_site_l, water_grid_l, materials_g, materials_embodied_g,"
        "primary_energy_megajoule, primary_energy_grid_megajoule, cost_high, cost_electricity,"
        "currency, training_energy_j, training_carbon_g, provenance, flags, idle_policy,"
        "grid_g_per_kwh, grid_g_per_kwh_low, concurrency, hosted, quote_error_ratio, hour"
    )
    assert rows(url, f"SELECT {columns} FROM receipts") == [
        (
            *("full", "llama-3-8b", "/chat", "a", "load", '{"team": "blue"}', "ok", 2.0, 0.5),
            *(100, 10, 50, 6.6, 1.1, 2.2, 3.3, 0.5, 1.0, 1.5, 6.0, 2.0, 0.3),
            *(7.0, 8.0, 9.0, 6.0, 2.0, "average", 2.0, 1.5, 0.5, 2.0, 0.8),
            *(5.0, 3.0, 0.3, 0.15, "EUR", 11.0, 12.0, "measured", "gap,short", "amortised"),
            *(56.0, 50.0, 4, 0, 1.1, 12),
        )
    ]


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    """And never 0: a receipt without a meter has no figure at all."""
    url = stored(tmp_path, [receipt()])
    cursor = sqlite3.connect(url.removeprefix("sqlite:///"))
    cursor.row_factory = sqlite3.Row
    row = dict(cursor.execute("SELECT * FROM receipts").fetchone())
    cursor.close()
    known = {name for name, value in row.items() if value is not None}
    assert known == {
        *("id", "request_id", "model", "outcome", "started_at", "duration_s", "provenance"),
        *("flags", "idle_policy", "attribution_method", "factor_set", "day", "hour", "hosted"),
        "batch",
    }


def test_a_receipt_that_is_delivered_twice_counts_once(tmp_path: Path) -> None:
    """In one batch, in two and by another exporter."""
    url = stored(tmp_path, [full("one"), full("one")])
    for _ in range(2):
        assert stored(tmp_path, [full("one"), full("two")]) == url
    assert rows(url, "SELECT request_id FROM receipts ORDER BY 1") == [("one",), ("two",)]
    assert reported(url)["requests"] == 2
    assert reported(url)["energy_j"] == pytest.approx(2 * 6.6)
    check_sums(url)


def test_a_receipt_inside_another_is_a_row_of_its_own(tmp_path: Path) -> None:
    """With its parent's id, whichever of the two comes first, and counted once."""
    inner = full("inner")
    middle = full("middle", children=(inner,))
    url = stored(tmp_path, [inner])
    assert rows(url, "SELECT parent_id FROM receipts") == [(None,)]
    stored(tmp_path, [full("outer", children=(middle,))])
    expected = [("inner", "middle"), ("middle", "outer"), ("outer", None)]
    assert rows(url, "SELECT request_id, parent_id FROM receipts ORDER BY 1") == expected
    report = reported(url)
    assert (report["requests"], report["workflows"]) == (3, 1)
    assert report["energy_j"] == pytest.approx(3 * 6.6)
    check_sums(url)


@pytest.mark.parametrize("first", ["receipt", "feedback"])
def test_feedback_counts_whenever_it_comes(tmp_path: Path, first: str) -> None:
    """Before its receipt or after; and it may be taken back."""
    exporter = StoreExporter(url_of(tmp_path))
    if first == "feedback":
        exporter.feedback("full", useful=False)
    exporter.export([full(), full("other")])
    if first == "receipt":
        exporter.feedback("full", useful=False)
    wasted = reported(exporter.url)["wasted"]
    assert wasted["by"]["useless"]["requests"] == 1
    assert wasted["energy_j"] == pytest.approx(6.6)
    assert reported(exporter.url)["outcomes"]["ok"]["requests"] == 2
    check_sums(exporter.url)
    exporter.feedback("full", useful=True)
    assert reported(exporter.url)["wasted"]["requests"] == 0
    assert rows(exporter.url, "SELECT * FROM pending_feedback") == []
    check_sums(exporter.url)
    exporter.close()


def test_a_receipt_of_no_known_concurrency_has_none(tmp_path: Path) -> None:
    """Where nothing was reserved, or it waited for requests inside it."""
    made = [
        full("none", reserved_s=None),
        full("parent", children=(full("alone", reserved_s=2.0),)),
        full("three", reserved_s=0.7),
        full("four", reserved_s=0.5),
    ]
    url = stored(tmp_path, made)
    found = dict(rows(url, "SELECT request_id, concurrency FROM receipts"))
    assert found == {"none": None, "parent": None, "alone": 1, "three": 4, "four": 4}


def test_hours_of_the_grid_do_not_each_make_a_set_of_factors(tmp_path: Path) -> None:
    """The grid's intensity is each receipt's own; the other factors are kept once."""
    made = [full(str(i), factors=(replace(GRID, value=float(i)),)) for i in range(50)]
    url = stored(tmp_path, made)
    assert rows(url, "SELECT count(*) FROM factor_sets") == [(1,)]
    (factor,) = reported(url)["factors"]
    assert factor["value"] == pytest.approx(sum(range(50)) / 50)


def test_names_that_databases_choke_on_are_kept(tmp_path: Path) -> None:
    """Half a surrogate pair, which JSON can carry, and a NUL."""
    url = stored(tmp_path, [full("x", model="a\ud800b\0c", labels={"tenant": "\udfff"})])
    assert list(reported(url)["models"]) == ["a?b\N{REPLACEMENT CHARACTER}c"]


EXPORT = """
import sys
from inferprint_exporters.store import StoreExporter
from test_store import full
worker, url = int(sys.argv[1]), sys.argv[2]
exporter = StoreExporter(url)
for i in range(20):
    exporter.export([full(f"{worker}-{i}"), full(f"all-{i}")])
exporter.close()
"""


def test_several_processes_write_one_store(tmp_path: Path) -> None:
    """Begun at the same time on no store at all, they make one; nothing is lost or doubled."""
    from concurrent.futures import ThreadPoolExecutor

    url, script = url_of(tmp_path), tmp_path / "write.py"
    script.write_text(EXPORT)
    path = {"PYTHONPATH": ":".join(__import__("sys").path)}
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda i: run_python(script, str(i), url, env=path), range(3)))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 3
    assert reported(url)["requests"] == 3 * 20 + 20
    check_sums(url)


figures = st.none() | st.floats(0, 1e6)
parts = st.builds(
    component,
    figures,
    figures,
    figures,
)
tokens = st.builds(Tokens, *[st.none() | st.integers(0, 10_000)] * 3)
carbons = st.none() | st.builds(
    lambda g, basis: Carbon(g, g, g, Range.exactly(g), None, basis),
    st.floats(0, 1e6),
    st.sampled_from(["average", "marginal"]),
)
costs = st.none() | st.builds(
    lambda amount, currency: Cost(amount, amount, amount, currency),
    st.floats(-1e3, 1e3),
    st.sampled_from(["EUR", "USD"]),
)
receipts_of_all_kinds = st.builds(
    lambda hour, day, reserved_s, made: at(replace(made, reserved_s=reserved_s), hour, day),
    st.floats(0, 23.99),
    st.integers(1, 3),
    st.none() | st.floats(0, 100),
    st.builds(
        receipt,
        st.sampled_from(["small", "large"]),
        request_id=st.integers(0, 30).map(str),
        labels=st.dictionaries(
            st.sampled_from(["route", "tenant", "x"]), st.sampled_from(["", "a", "b"])
        ),
        outcome=st.sampled_from(["ok", "error", "cancelled"]),
        tokens=tokens,
        parts=st.dictionaries(st.sampled_from(["gpu", "cpu", "dram"]), parts),
        carbon=carbons,
        cost=costs,
    ),
)


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    given_receipts=st.lists(receipts_of_all_kinds, max_size=12),
    at_once=st.integers(1, 12),
    useless=st.sets(st.integers(0, 30).map(str), max_size=5),
    since=st.integers(0, 71) | st.none(),
    hours=st.integers(1, 72),
)
def test_a_report_is_the_sum_of_its_receipts(
    tmp_path_factory: pytest.TempPathFactory,
    given_receipts: list[Receipt],
    at_once: int,
    useless: set[str],
    since: int | None,
    hours: int,
) -> None:
    """Whatever the batches, the times that are cut out and the feedback: every total and every
    group is what the receipts add up to, and says of how many it is not known.
    """
    exporter = StoreExporter(url_of(tmp_path_factory.mktemp("store")))
    exporter.export([])
    for start in range(0, len(given_receipts), at_once):
        exporter.export(given_receipts[start : start + at_once])
    for request_id in useless:
        exporter.feedback(request_id, useful=False)
    exporter.close()
    check_sums(exporter.url)
    kept: dict[str, Receipt] = {}
    for one in given_receipts:
        kept.setdefault(one.request_id, one)
    options: list[str] = []
    if since is not None:
        ends = [f"2026-03-{1 + h // 24:02}T{h % 24:02}:00" for h in (since, since + hours)]
        options = ["--since", ends[0], "--until", ends[1]]
        hour = {i: (r.started_at.day - 1) * 24 + r.started_at.hour for i, r in kept.items()}
        kept = {i: r for i, r in kept.items() if since <= hour[i] < since + hours}
    _check(reported(exporter.url, *options), list(kept.values()), useless)


def _check(report: dict[str, Any], kept: list[Receipt], useless: set[str]) -> None:
    _check_block(report, kept)
    groups = {
        "models": lambda r: r.model,
        "tenants": lambda r: r.labels.get("tenant", ""),
        "routes": lambda r: r.labels.get("route", ""),
        "outcomes": lambda r: r.outcome,
        "hours": lambda r: str(r.started_at.hour),
        "days": lambda r: r.started_at.date().isoformat(),
    }
    for name, key in groups.items():
        assert set(report[name]) == {key(one) for one in kept}
        for value, block in report[name].items():
            _check_block(block, [one for one in kept if key(one) == value])
    wasted = [r for r in kept if r.outcome != "ok" or r.request_id in useless]
    _check_block(report["wasted"], wasted)


def _check_block(block: dict[str, Any], kept: list[Receipt]) -> None:
    assert block["requests"] == len(kept)
    for name in ("active_j", "idle_j", "standing_j", "total_j"):
        column = "energy_j" if name == "total_j" else name
        known = [r for one in kept if (r := getattr(one.energy, name)) is not None]
        assert block["unknown"].get(column, 0) == len(kept) - len(known)
        if not known:
            assert block[column] is None
        else:
            assert block[column] == pytest.approx(sum(map(float, known)), **CLOSE)
    for name in ("input", "cached_input", "output"):
        told = [n for one in kept if (n := getattr(one.tokens, name)) is not None]
        assert block["tokens"][name] == (sum(told) if told else None)
    for found, figures_of, value in (
        (block["carbon"], [(r.carbon.basis, r.carbon) for r in kept if r.carbon], "carbon_g"),
        (block["costs"], [(r.cost.currency, r.cost) for r in kept if r.cost], "cost"),
    ):
        kinds = sorted({kind for kind, _ in figures_of})
        assert [one.get("basis", one.get("currency")) for one in found] == kinds
        for one in found:
            kind = one.get("basis", one.get("currency"))
            mids = [float(figure) for name, figure in figures_of if name == kind]
            assert one[value] == pytest.approx(sum(mids), **CLOSE)
        assert (block[value] is None) == (len(found) != 1)


def test_a_day_of_load_adds_up(tmp_path: Path) -> None:
    """What a tracker hands to the store by its setting is what the report says, children and
    loads among it.
    """
    url = url_of(tmp_path)
    made = day_of_load(url)
    report = reported(url)
    assert report["requests"] == len(made) > 200
    assert report["workflows"] == len(made) - sum(len(r.children) for r in made) < len(made)
    for name, part in (("energy_j", "total_j"), ("active_j", "active_j"), ("idle_j", "idle_j")):
        figures_of = [getattr(one.energy, part) for one in made]
        assert report[name] == pytest.approx(sum(map(float, figures_of)), rel=1e-9)
    assert report["carbon_g"] == pytest.approx(sum(float(r.carbon) for r in made if r.carbon))
    assert len(report["hours"]) == 24
    assert report["devices"][0]["device"] == "gpu:0"
    check_sums(url)


def test_the_tracker_passes_feedback_on(tmp_path: Path) -> None:
    """``Tracker.feedback`` reaches the store through its own thread."""
    config = Config(exporters=("store",), store_url=url_of(tmp_path))
    with Tracker(config, sources=[]) as tracker:
        with tracker.request("m") as request:
            pass
        assert tracker.feedback(request.request_id, useful=False)
        assert tracker.flush(timeout=20.0)
        assert tracker.status().dropped_receipts == {"store": 0}
    report = reported(url_of(tmp_path))
    assert report["wasted"]["by"]["useless"]["requests"] == report["requests"] == 1


def test_a_count_of_rows_is_what_sqlite_counts(tmp_path: Path) -> None:
    """The sums of each dimension have every receipt in them once."""
    url = stored(tmp_path, [at(full(str(i)), hour=i % 24) for i in range(60)])
    assert len(DIMENSIONS) == 7
    by = rows(url, "SELECT dimension, sum(requests) FROM sums GROUP BY 1")
    assert dict(by) == dict.fromkeys(DIMENSIONS, 60)
