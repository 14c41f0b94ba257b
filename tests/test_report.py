"""``inferprint report``: what it says beside the sums, which test_store.py checks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inferprint.cli import main
from inferprint.impacts import Carbon, Cost, Factor
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import Tokens
from receipts import component, receipt
from stores import at, day_of_load, reported, stored, url_of
from support import run_python


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a store of a day of load."""
    url = url_of(tmp_path_factory.mktemp("day"))
    day_of_load(url)
    return url


def made(request_id: str, model: str = "m", **changes: Any) -> Receipt:
    """10 J of work, 4 J of idle and 2 J of standing energy; 8 g of carbon, 20 tokens out."""
    usual: dict[str, Any] = {
        "parts": {"gpu": component(10.0, 4.0, 2.0)},
        "tokens": Tokens(30, 0, 20),
        "carbon": Carbon(6, 8, 10, Range(4, 6, 8), Range.exactly(2), "average"),
        "cost": Cost(1, 1, 1, "EUR", Range.exactly(0.6), Range.exactly(0.4)),
    }
    reserved = {name: changes.pop(name) for name in ("reserved_s", "factors") if name in changes}
    return replace(receipt(model, request_id=request_id, **(usual | changes)), **reserved)


def test_resident_energy_is_a_share_of_what_is_told_apart(tmp_path: Path) -> None:
    """What could not be told apart is in neither side of the fraction."""
    unsplit = made("unsplit", parts={"gpu": component(total_j=100.0)})
    report = reported(stored(tmp_path, [made("one"), unsplit]))
    assert report["resident"]["share"] == pytest.approx(6 / 16)
    assert report["energy_j"] == pytest.approx(116)
    assert report["unknown"]["active_j"] == 1


def test_waste_is_what_failed_was_cancelled_or_of_no_use(tmp_path: Path) -> None:
    """With its share of all energy, and what it cost."""
    outcomes = ("ok", "ok", "error", "cancelled")
    url = stored(tmp_path, [made(str(i), outcome=o) for i, o in enumerate(outcomes)])
    wasted = reported(url)["wasted"]
    assert {name: block["requests"] for name, block in wasted["by"].items()} == {
        "error": 1,
        "cancelled": 1,
    }
    assert wasted["share"] == pytest.approx(0.5)
    assert wasted["cost"] == pytest.approx(2.0)


def test_keeping_a_model_loaded_is_weighed_against_loading_it(tmp_path: Path) -> None:
    """By the idle power that its requests saw and the energy of the request labelled as a load:
    with P watts and E joules, unloading saves below P/E requests a second.
    """
    load = made("load", labels={"phase": "load"}, parts={"gpu": component(300.0, 60.0, 0.0)})
    # 4 J of idle energy for 0.1 s of the machine: 40 W.
    served = [at(made(str(i), reserved_s=0.1), hour=i) for i in range(11)]
    url = stored(tmp_path, [at(load, hour=0), *served])
    model = reported(url)["resident"]["models"]["m"]
    assert model["idle_power_w"] == pytest.approx(40.0)
    assert model["load_energy_j"]["mid"] == pytest.approx(360.0)
    assert model["break_even_requests_per_hour"] == pytest.approx(40 / 360 * 3600)
    assert model["requests_per_hour"] == pytest.approx(11 / 10, rel=1e-3)
    assert model["unloading_would_save"] is True
    assert model["j_per_request"] == pytest.approx(6.0)
    assert "--bare-idle-w" in model["notes"][0]
    options = ("--bare-idle-w", "30", "--load-energy-j", "3600000")
    known = reported(url, *options)["resident"]["models"]["m"]
    assert known["break_even_requests_per_hour"] == pytest.approx(10 / 3.6e6 * 3600)
    assert (known["unloading_would_save"], known["notes"]) == (False, [])


def test_what_loading_takes_is_unknown_until_it_is_measured(tmp_path: Path) -> None:
    """No figure is made up: it says what to do."""
    model = reported(stored(tmp_path, [made("one")]))["resident"]["models"]["m"]
    for name in ("load_energy_j", "break_even_requests_per_hour", "unloading_would_save"):
        assert model[name] is None
    assert any("phase=load" in note for note in model["notes"])


def test_sci_is_carbon_for_each_unit_of_what_is_known(tmp_path: Path) -> None:
    """A request without tokens is in no score by token, one without carbon in none at all."""
    parent = replace(made("parent"), children=(made("child"),))
    mute, dark = made("mute", tokens=Tokens()), made("dark", carbon=None)
    sci = reported(stored(tmp_path, [parent, mute, dark]))["sci"]
    (score,) = sci["scores"]
    assert sci["unknown_requests"] == 1
    assert score["per"]["request"] == {"low": 6.0, "mid": 8.0, "high": 10.0}
    assert score["per"]["workflow"]["mid"] == pytest.approx(24 / 2)
    assert score["per"]["token"]["mid"] == pytest.approx(16 / 100)
    assert score["per"]["output_token"]["mid"] == pytest.approx(16 / 40)
    assert score["M_g"] == pytest.approx(6.0)
    energy_and_intensity = score["E_kwh"] * score["I_g_per_kwh"]
    assert energy_and_intensity + score["M_g"] == pytest.approx(24.0)
    assert any("PUE" in what for what in score["without"])


def test_carbon_of_two_bases_and_money_of_two_currencies_are_never_added(tmp_path: Path) -> None:
    """Each is listed; the total is not known, and no comparison is made."""
    marginal = Carbon(1, 1, 1, Range.exactly(1), None, "marginal")
    other = made("two", "other", carbon=marginal, cost=Cost(5, 5, 5, "USD"))
    report = reported(stored(tmp_path, [made("one"), other]), "--compare", "m", "other")
    assert (report["carbon_g"], report["cost"], report["currency"]) == (None, None, None)
    assert {c["basis"]: c["carbon_g"] for c in report["carbon"]} == {"average": 8, "marginal": 1}
    assert {c["currency"]: c["cost"] for c in report["costs"]} == {"EUR": 1, "USD": 5}
    assert "carbon_g" not in report["ranges"]
    over = report["compare"]["second_over_first"]
    assert over["carbon_g_per_request"] is over["cost_per_request"] is None
    assert over["energy_j_per_request"] == {"low": 1.0, "mid": 1.0, "high": 1.0}


def test_two_models_or_two_tenants_are_set_side_by_side(tmp_path: Path) -> None:
    """By request and by output token; a ratio has the interval that its two sides allow."""
    url = stored(
        tmp_path,
        [
            made("a", "small", labels={"tenant": "x"}),
            made("b", "large", labels={"tenant": "y"}, parts={"gpu": component(20.0, 8.0, 4.0)}),
        ],
    )
    for names in (("small", "large"), ("tenant=x", "tenant=y")):
        compared = reported(url, "--compare", *names)["compare"]
        over = compared["second_over_first"]
        assert over["energy_j_per_request"]["mid"] == pytest.approx(2.0)
        assert over["energy_j_per_output_token"]["mid"] == pytest.approx(2.0)
        assert over["carbon_g_per_request"] == pytest.approx({"low": 0.6, "mid": 1, "high": 10 / 6})
        assert [side["requests"] for side in compared["sides"]] == [1, 1]


def test_a_name_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With those that are."""
    url = stored(tmp_path, [made("a", "small")])
    assert main(["report", "--store", url, "--compare", "small", "tenant=z"]) == 2
    assert "--compare='tenant=z': expected a model or route=VALUE" in capsys.readouterr().err


def test_each_factor_is_varied_alone_over_its_own_interval(tmp_path: Path) -> None:
    """Or by a tenth where it has none; what moves the total most comes first."""
    factors = (
        Factor("grid_carbon_intensity", 50.0, "gCO2e/kWh", "a", low=25.0, high=100.0),
        Factor("pue", 1.2, "ratio", "b"),
        Factor("embodied_carbon", 100.0, "kgCO2eq", "c", "gpu:X"),
        Factor("lifetime", 4.0, "year", "d", low=2.0, high=8.0),
        Factor("electricity_price", 0.2, "EUR/kWh", "e"),
    )
    report = reported(stored(tmp_path, [made("a", factors=factors)]), "--sensitivity")
    carbon, cost = report["sensitivity"]
    rows = {row["factor"]: row for row in carbon["factors"]}
    # 8 g, 6 of use and 2 of making.
    assert [row["factor"] for row in carbon["factors"]][:2] == ["grid_carbon_intensity", "lifetime"]
    grid, lifetime = rows["grid_carbon_intensity"], rows["lifetime"]
    assert (grid["total_low"], grid["total_high"]) == pytest.approx((2 + 3, 2 + 12))
    assert (lifetime["total_low"], lifetime["total_high"]) == pytest.approx((6 + 1, 6 + 4))
    assert (rows["pue"]["low"], rows["pue"]["high"]) == pytest.approx((1.08, 1.32))
    assert (rows["pue"]["varied_by"], rows["pue"]["moves"]) == ("± 10 %", pytest.approx(1.2))
    assert rows["embodied_carbon"]["moves"] == pytest.approx(0.4)
    assert "electricity_price" not in rows
    prices = {row["factor"]: row["moves"] for row in cost["factors"]}
    assert prices["electricity_price"] == pytest.approx(0.12)


def test_a_factor_of_one_of_several_pieces_moves_the_total_at_most_so_far(tmp_path: Path) -> None:
    """What each piece contributes is not on a receipt."""
    pieces = [Factor("embodied_carbon", 9.0, "kgCO2eq", "s", name) for name in ("gpu:X", "server")]
    report = reported(stored(tmp_path, [made("a", factors=tuple(pieces))]), "--sensitivity")
    rows = [r for r in report["sensitivity"][0]["factors"] if r["factor"] == "embodied_carbon"]
    assert [row["at_most"] for row in rows] == [True, True]


def test_estimates_for_models_that_run_elsewhere_are_apart(tmp_path: Path) -> None:
    """They are in no total unless asked for; how many there are is always said."""
    hosted = replace(made("far", "gpt"), flags=frozenset({"hosted"}))
    url = stored(tmp_path, [made("near"), hosted])
    without, among = reported(url), reported(url, "--include-hosted")
    assert (without["requests"], list(without["models"])) == (1, ["m"])
    assert without["hosted"] == {"requests": 1, "included": False}
    assert (among["requests"], among["energy_j"]) == (2, pytest.approx(32.0))


def test_one_model_may_be_asked_for(tmp_path: Path) -> None:
    """Or several; all groups are of them alone."""
    url = stored(tmp_path, [made("a", "x"), made("b", "y"), made("c", "z")])
    assert reported(url, "--model", "x")["requests"] == 1
    report = reported(url, "--model", "x", "--model", "z")
    assert (list(report["models"]), report["hours"]["12"]["requests"]) == (["x", "z"], 2)


def test_stages_say_what_is_left_out_and_why(tmp_path: Path) -> None:
    """Making where it is known, the end of life never."""
    with_making, without = (
        {stage["stage"]: stage for stage in reported(stored(folder, [one]))["stages"]}
        for folder, one in (
            (tmp_path, made("a")),
            (_new(tmp_path / "b"), made("a", carbon=None)),
        )
    )
    assert with_making["A"]["included"]
    assert with_making["B"]["carbon"] == [{"basis": "average", "carbon_g": 2.0}]
    assert with_making["C"]["carbon"] == [{"basis": "average", "carbon_g": 6.0}]
    assert without["A"]["included"] == []
    assert "hardware" in without["A"]["not_included"][0]
    assert (without["D"]["included"], len(without["D"]["not_included"])) == ([], 1)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_joules_for_a_token_go_by_concurrency(tmp_path: Path) -> None:
    """Time in flight over time reserved, in powers of two."""
    url = stored(
        tmp_path,
        [
            made("alone", duration_s=2.0, reserved_s=2.0),
            made("eight", duration_s=4.0, reserved_s=0.5, tokens=Tokens(1, 0, 160)),
            made("unknown"),
        ],
    )
    found = reported(url)["concurrency"]
    assert [(c["at_most"], c["j_per_output_token"]) for c in found] == [(1, 0.8), (8, 0.1)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesterday"], "--since='yesterday': expected an ISO 8601 date"),
        (["--label", "route"], "--label='route': expected a name and a value"),
        (["--since", "2026-03-02", "--until", "2026-03-01"], "expected a time after --since"),
        (["--format", "boamps", "--context", "nowhere.json"], "--context='nowhere.json'"),
    ],
)
def test_wrong_usage_says_what_would_be_right(
    day: str, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2."""
    assert main(["report", "--store", day, *options]) == 2
    assert said in capsys.readouterr().err


def test_times_may_have_an_offset(tmp_path: Path) -> None:
    """And are UTC without one; a day is cut where it is asked."""
    url = stored(tmp_path, [at(made(str(h)), hour=h) for h in range(24)])
    cut = ("--since", "2026-03-01T10:00+02:00", "--until", "2026-03-01T20:30")
    assert list(reported(url, *cut)["hours"]) == [str(h) for h in range(8, 21)]


def test_a_store_without_receipts_is_reported_as_nothing(tmp_path: Path) -> None:
    """Not as zero joules."""
    report = reported(stored(tmp_path, []))
    assert (report["requests"], report["energy_j"], report["carbon_g"]) == (0, None, None)
    assert report["models"] == {}
    assert report["period"]["first_started"] is None


def test_a_day_of_load_is_told_apart_by_hour(day: str) -> None:
    """More requests by day than by night, and more idle energy for each of them by night."""
    report = reported(day)
    noon, night = report["hours"]["12"], report["hours"]["3"]
    assert noon["requests"] > 2 * night["requests"]
    for name in ("llama-3-8b", "mistral-small"):
        assert report["resident"]["models"][name]["idle_power_w"] == pytest.approx(60.0, rel=0.01)
        assert report["resident"]["models"][name]["loads"] == 1


@pytest.mark.parametrize(
    ("module", "call", "extra"),
    [
        ("sqlalchemy", "main(['report', '--store', 'sqlite:///a.db'])", "report"),
        ("sqlalchemy", "main(['report', '--store', 'sqlite:///a.db', '--json'])", "report"),
        (
            "sqlalchemy",
            "Tracker(Config(exporters=('store',), store_url='sqlite:///a.db'))",
            "store",
        ),
    ],
)
def test_what_is_not_installed_is_named(module: str, call: str, extra: str) -> None:
    """With the command that brings it."""
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from inferprint import Config, Tracker\nfrom inferprint.cli import main\n"
        f"sys.exit({call})"
    )
    result = run_python("-c", script)
    assert result.returncode == 1
    assert f"pip install 'inferprint[{extra}]'" in result.stderr


def test_receipts_of_a_label_are_added_up(tmp_path: Path) -> None:
    """Of all days and models, inside others too; letter by letter, and with all labels given."""
    hop, other = {"serve_request_id": 'a"1', "route": "/x"}, {"serve_request_id": 'A"1'}
    receipts = [
        replace(made("one", labels=hop), children=(made("two", "large", labels=hop),)),
        at(made("three", "large", labels=hop), 3.0, day=4),
        made("four", labels=other | {"said": '"serve_request_id": "a\\"1"'}),
        made("five", labels={**hop, "route": "/y"}),
        made("six"),
    ]
    url = stored(tmp_path, receipts)
    report = reported(url, "--label", 'serve_request_id=a"1', "--label", "route=/x")
    assert report["requests"] == 3
    assert report["energy_j"] == pytest.approx(3 * 16)
    assert {name: m["requests"] for name, m in report["models"].items()} == {"m": 1, "large": 2}
    early = ("--until", "2026-03-04T03:00")
    assert reported(url, "--label", 'serve_request_id=a"1', *early)["requests"] == 3
    assert reported(url, "--label", 'serve_request_id=A"1')["requests"] == 1
    assert reported(url, "--label", "serve_request_id=none")["requests"] == 0
