"""Files of factors: what is read, what is refused, what wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferprint import Config, ConfigError, Range
from inferprint.factor_tables import Tables, load, shipped
from inferprint.factors import resolve
from inferprint.impacts import Factor

SOURCE = '[source.test]\ntitle = "A test, 2026"\nurl = "https://example.org"\nlicence = "CC0"\n'


def write(folder: Path, row: str, source: str = SOURCE) -> Path:
    """A file with one factor."""
    path = folder / "factors.toml"
    path.write_text(f"{source}\n[[factor]]\n{row}\n", encoding="utf-8")
    return path


def row(**changes: object) -> str:
    """A right row with changes; None leaves a key out."""
    right: dict[str, object] = {
        "name": "wue_site", "region": "ours", "value": 0.5, "unit": "L/kWh", "source": "test",
    }  # fmt: skip
    items = {**right, **changes}
    return "\n".join(
        f"{key} = {value!r}".replace("'", '"') for key, value in items.items() if value is not None
    )


def test_a_factor_has_its_source_and_its_interval(tmp_path: Path) -> None:
    """Value, interval, unit, year, source and licence come through."""
    path = write(tmp_path, row(low=0.4, high=0.7, year=2025))
    assert load(path) == [
        Factor("wue_site", 0.5, "L/kWh", "A test, 2026", "ours", 2025, 0.4, 0.7, "CC0")
    ]
    assert load(path)[0].range == Range(0.4, 0.5, 0.7)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": None}, "source of wue_site"),
        ({"source": "nobody"}, "source of wue_site"),
        ({"unit": "L/MWh"}, "expected L/kWh"),
        ({"unit": None}, "expected L/kWh"),
        ({"name": "wue"}, "expected one of pue, wue_site"),
        ({"name": "electricity_price", "unit": "euro/kWh"}, "expected CURRENCY/kWh"),
        ({"value": None}, "finite numbers of at least 0"),
        ({"value": -0.5}, "finite numbers of at least 0"),
        ({"value": "much"}, "finite numbers of at least 0"),
        ({"name": "pue", "unit": "ratio", "value": 0.9}, "finite numbers of at least 1"),
        ({"low": 0.6, "high": 0.7}, "low <= value <= high"),
        ({"low": 0.4}, "both or neither"),
        ({"vaule": 1.0}, "expected one of basis"),
    ],
)
def test_a_factor_that_is_not_right_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    """With the file, the factor, the field, and what would be right."""
    path = write(tmp_path, row(**changes))
    with pytest.raises(ConfigError, match=r"factors\.toml, factor 1") as caught:
        load(path)
    assert said in str(caught.value)


@pytest.mark.parametrize("value", ["nan", "inf", "true"])
def test_a_value_that_is_no_number_is_refused(tmp_path: Path, value: str) -> None:
    """TOML has these; a factor can't be one of them."""
    path = write(tmp_path, row(value=None) + f"\nvalue = {value}")
    with pytest.raises(ConfigError, match="finite numbers"):
        load(path)


@pytest.mark.parametrize("missing", ["title", "licence"])
def test_a_source_without_title_or_licence_is_none(tmp_path: Path, missing: str) -> None:
    """A key that leads to nothing that can be quoted is no source."""
    source = "\n".join(line for line in SOURCE.splitlines() if not line.startswith(missing))
    with pytest.raises(ConfigError, match="has a title and a licence"):
        load(write(tmp_path, row(), source))


@pytest.mark.parametrize("text", ["[[factor]", "factor = 5", "source = 5", "\xff"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the setting and the file."""
    path = tmp_path / "broken.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"factors_path='.*broken\.toml'"):
        load(path)


def test_a_file_that_is_not_there_is_refused() -> None:
    """At once, when the factors are resolved."""
    with pytest.raises(ConfigError, match=r"factors_path='/nowhere/factors\.toml'"):
        resolve(Config(factors_path="/nowhere/factors.toml"))


def test_a_users_own_factor_wins(tmp_path: Path) -> None:
    """Over the one that ships for the same name and region; the others stay."""
    path = write(tmp_path, row(name="water_grid", region="FRA", value=9.0))
    own, ours = shipped(str(path)), shipped()
    found, before = own.find("water_grid", "FRA"), ours.find("water_grid", "FRA")
    assert found is not None
    assert before is not None
    assert (found.value, found.source) == (9.0, "A test, 2026")
    assert before.value != 9.0
    assert own.find("water_grid", "USA") == ours.find("water_grid", "USA")


def test_a_setting_wins_over_the_file(tmp_path: Path) -> None:
    """And names itself as the source."""
    path = write(tmp_path, row(name="wue_site", region="google", value=9.0))
    by_file = resolve(Config(location="gcp:europe-west9", factors_path=str(path)))
    by_setting = resolve(
        Config(location="gcp:europe-west9", factors_path=str(path), wue_l_per_kwh=0.1)
    )
    assert by_file.wue_site is not None
    assert by_setting.wue_site is not None
    assert (by_file.wue_site.value, by_setting.wue_site.value) == (9.0, 0.1)
    assert by_setting.wue_site.source == "config"


def test_regions_are_tried_in_order() -> None:
    """The first that has the factor gives it; none is None."""
    tables = Tables([Factor("pue", 1.5, "ratio", "s", "upper:world")])
    assert tables.find("pue", "upper:FRA", "upper:world") is not None
    assert tables.find("pue", "upper:FRA") is None
    assert tables.find("wue_site", "upper:world") is None


def test_every_factor_that_ships_can_be_found() -> None:
    """The files of the package are all right, and no two factors of a name hold for a region."""
    everything = shipped().all()
    assert len(everything) >= 50
    assert len({(one.name, one.region.lower()) for one in everything}) == len(everything)
    for one in everything:
        assert one.source
        assert one.licence
