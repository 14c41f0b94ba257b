"""The forms of a report: each can be read by what it is for, and no name in it does harm."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferprint.cli import main
from inferprint.impacts import Carbon, Factor
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint_exporters.report.formats import boamps, codecarbon
from receipts import component, receipt
from stores import at, day_of_load, printed, reported, stored, url_of

EVIL = "<script>alert(1)</script>|`x`\n=1+1 $\\frac{"


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a store of a day of load."""
    url = url_of(tmp_path_factory.mktemp("day"))
    day_of_load(url)
    return url


@pytest.fixture(scope="module", autouse=True)
def fonts(day: str) -> None:
    """Matplotlib keeps the files of its fonts open from the first plot on."""
    printed(day, "--format", "html")


def table(text: str) -> list[dict[str, str]]:
    """The rows of CSV text."""
    return list(csv.DictReader(io.StringIO(text)))


def measured(request_id: str = "a", model: str = "m", **changes: Any) -> Receipt:
    """A receipt of 3.6 kJ on a GPU and a CPU, with carbon of use and of making."""
    parts = {"gpu": component(1800.0, 900.0, 0.0), "cpu": component(600.0, 300.0, 0.0)}
    carbon = Carbon(1.5, 1.5, 1.5, Range.exactly(1.0), Range.exactly(0.5), "average")
    made = receipt(model, request_id=request_id, parts=parts, carbon=carbon)
    factors = (Factor("grid_carbon_intensity", 100.0, "gCO2e/kWh", "config", "FRA"),)
    return replace(made, **{"reserved_s": 20.0, "factors": factors, **changes})


@pytest.mark.parametrize(
    "form", ["markdown", "html", "json", "csv", "codecarbon-csv", "if", "boamps"]
)
def test_every_form_is_written_to_a_file_as_it_is_printed(
    day: str, form: str, tmp_path: Path
) -> None:
    """With every option; but for the time at which it was made."""
    options = ("--format", form, "--sensitivity", "--compare", "tenant=a", "tenant=b")
    file = tmp_path / "report"
    assert printed(day, *options, "--output", str(file)) == ""
    assert len(file.read_text()) == pytest.approx(len(printed(day, *options)), abs=20)


def test_a_file_that_cannot_be_written_is_said(
    day: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 1."""
    assert main(["report", "--store", day, "--output", str(tmp_path / "no" / "file")]) == 1
    assert "--output=" in capsys.readouterr().err


@pytest.mark.parametrize(
    "form", ["markdown", "html", "json", "csv", "codecarbon-csv", "if", "boamps"]
)
def test_a_store_without_receipts_or_figures_has_every_form(tmp_path: Path, form: str) -> None:
    """Unknown is said or left out, and never 0."""
    assert printed(stored(tmp_path, []), "--format", form)
    text = printed(stored(tmp_path, [receipt()]), "--format", form)
    assert text
    if form in ("codecarbon-csv", "csv"):
        row = table(text)[-1]
        assert (row.get("energy_consumed", ""), row.get("energy_j", "")) == ("", "")


def test_markdown_shows_names_as_they_are(tmp_path: Path) -> None:
    """A name makes no markup, no second row and no column of its own."""
    text = printed(stored(tmp_path, [measured(model=EVIL)]), "--format", "markdown")
    (line,) = [line for line in text.splitlines() if "script" in line and "| 1 |" in line][:1]
    assert "<script" not in text.replace("\\<script", "")
    assert line.replace("\\|", "").count("|") == 11


def test_a_spreadsheet_computes_no_name(tmp_path: Path) -> None:
    """A text that begins like a formula is marked as text."""
    url = stored(tmp_path, [measured(model="=cmd|' /C calc'!A0")])
    for form in ("csv", "codecarbon-csv"):
        assert "\n=cmd" not in printed(url, "--format", form).replace(",", "\n")


def test_csv_has_the_total_and_each_group(day: str) -> None:
    """The models' rows add up to the total's; figures are those of the JSON."""
    rows, report = table(printed(day, "--format", "csv")), reported(day)
    models = [row for row in rows if row["group"] == "model"]
    assert sum(int(row["requests"]) for row in models) == report["requests"]
    assert float(rows[0]["energy_j"]) == pytest.approx(report["energy_j"])
    assert rows[0]["energy_j_low"] == str(report["ranges"]["energy_j"]["low"])
    assert {row["group"] for row in rows} == {
        *("total", "model", "route", "tenant", "outcome", "hour", "day")
    }


def test_codecarbon_rows_are_those_of_its_own_file(tmp_path: Path) -> None:
    """Its columns in its order, in its units, a row for each day and model; nothing of what is
    not known.
    """
    from codecarbon.output_methods.emissions_data import EmissionsData

    url = stored(
        tmp_path, [at(measured("a"), 1), at(measured("b", "n"), 1), at(measured("c"), 2, 2)]
    )
    text = printed(url, "--format", "codecarbon-csv")
    names = [field.name for field in dataclasses.fields(EmissionsData)]
    assert text.splitlines()[0].split(",") == names == list(codecarbon.columns())
    rows = table(text)
    found = [(row["timestamp"][:10], row["project_name"]) for row in rows]
    assert found == [("2026-03-01", "m"), ("2026-03-01", "n"), ("2026-03-02", "m")]
    row = rows[0]
    assert float(row["energy_consumed"]) == pytest.approx(0.001)
    assert float(row["gpu_energy"]) == pytest.approx(0.00075)
    assert float(row["gpu_power"]) == pytest.approx(2700 / 20)
    assert float(row["emissions"]) == pytest.approx(0.0015)
    assert float(row["emissions_rate"]) == pytest.approx(0.0015 / 20)
    assert (row["country_iso_code"], row["ram_energy"], row["pue"]) == ("FRA", "", "")
    assert len({row["run_id"] for row in rows}) == 3


def test_codecarbon_energy_holds_the_overhead(tmp_path: Path) -> None:
    """As codecarbon's own does."""
    made = measured()
    energy = replace(made.energy, overhead_j=Range.exactly(720.0))
    url = stored(tmp_path, [replace(made, energy=energy)])
    (row,) = table(printed(url, "--format", "codecarbon-csv"))
    assert float(row["pue"]) == pytest.approx(1.2)
    assert float(row["energy_consumed"]) == pytest.approx(0.0012)


def test_the_manifest_has_what_the_impact_framework_computes_with(tmp_path: Path) -> None:
    """YAML with an observation for each day of each model, in its names and units; what has no
    carbon has no score to compute.
    """
    made = [at(measured("a"), 1), at(measured("b"), 2, 2), measured("c", "dark", carbon=None)]
    manifest = yaml.safe_load(printed(stored(tmp_path, made), "--format", "if"))
    children = manifest["tree"]["children"]
    first, second = children["m"]["inputs"]
    assert (first["timestamp"], first["duration"]) == ("2026-03-01T00:00:00.000Z", 86_400)
    assert second["timestamp"].startswith("2026-03-02")
    assert first["energy"] == pytest.approx(0.001)
    assert first["energy"] * first["grid/carbon-intensity"] == pytest.approx(
        first["carbon-operational"]
    )
    assert first["carbon-operational"] + first["carbon-embodied"] == pytest.approx(first["carbon"])
    assert children["m"]["pipeline"]["compute"] == ["sci"]
    assert manifest["initialize"]["plugins"]["sci"]["config"]["functional-unit"] in first
    assert "pipeline" not in children["dark"]
    assert "carbon" not in children["dark"]["inputs"][0]


def test_boamps_says_what_only_people_know(
    day: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the schema requires and no receipt has is named, until a file gives it."""
    found = json.loads(printed(day, "--format", "boamps"))
    said = capsys.readouterr().err
    assert "task.taskFamily, infrastructure.infraType: give --context FILE" in said
    assert found["measures"][0]["powerConsumption"] == pytest.approx(
        reported(day)["energy_j"] / 3.6e6
    )
    context = tmp_path / "context.json"
    context.write_text(
        json.dumps(
            {
                "task": {"taskFamily": "chatbot"},
                "infrastructure": {"infraType": "onPremise"},
                "header": {"publisher": {"confidentialityLevel": "internal"}},
            }
        )
    )
    complete = json.loads(printed(day, "--format", "boamps", "--context", str(context)))
    assert capsys.readouterr().err == ""
    assert complete["infrastructure"]["components"] == [
        {"componentName": "fake gpu", "componentType": "gpu", "nbComponent": 1}
    ]
    assert complete["task"]["nbRequest"] == reported(day)["requests"]
    assert complete["quality"] == "high"
    _check_boamps(complete)


def _check_boamps(report: dict[str, Any]) -> None:
    """It has the form that codecarbon reads and writes, without a field that is unknown there."""
    from codecarbon.output_methods.boamps.models import BoAmpsReport

    assert BoAmpsReport.from_dict(report).to_dict() == report
    assert boamps.missing(report) == []
    assert {one["dataUsage"] for one in report["task"]["dataset"]} <= {"input", "output"}
    assert report["header"]["reportDatetime"][10] == " "


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("task", "task"),
        ("task.dataset", "task.dataset"),
        ("infrastructure.components", "infrastructure.components"),
        ("measures", "measures"),
    ],
)
def test_boamps_fields_that_are_missing_are_seen(day: str, path: str, gone: str) -> None:
    """Each that the schema requires."""
    report = json.loads(printed(day, "--format", "boamps"))
    *above, last = path.split(".")
    inner = report
    for name in above:
        inner = inner[name]
    inner.pop(last)
    assert any(name.startswith(gone) for name in boamps.missing(report))
