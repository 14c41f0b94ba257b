"""``inferprint factors`` lists what figures are computed with."""

from __future__ import annotations

import json

import pytest

from inferprint import cli


def listed(capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, object]]:
    """What the command prints as JSON."""
    assert cli.main(["factors", "--json", *args]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)["factors"]
    return found


def test_the_factors_in_use_have_their_sources(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a location, each with value, unit and source."""
    found = {one["name"]: one for one in listed(capsys, "--location", "gcp:europe-west9")}
    assert {"grid_carbon_intensity", "pue", "wue_site", "water_grid"} <= set(found)
    assert all(one["source"] and one["unit"] for one in found.values())


def test_all_factors_can_be_listed_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Every PUE that there is, also where none is in use."""
    regions = {one["region"] for one in listed(capsys, "--all", "--name", "pue")}
    assert {"google", "aws", "microsoft", "upper:world"} <= regions


def test_a_line_names_value_interval_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    """For people: one line a factor."""
    assert cli.main(["factors", "--location", "gcp:europe-west9", "--name", "pue"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("pue google 1.09 ratio (1.06 to 1.14) 2025 | Google")


def test_none_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Without settings none is in use: exit code 1, and what to do."""
    assert cli.main(["factors"]) == 1
    assert "INFERPRINT_LOCATION" in capsys.readouterr().out


def test_a_location_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, with what would be right."""
    assert cli.main(["factors", "--location", "Atlantis"]) == 2
    assert "ISO 3166-1" in capsys.readouterr().err
