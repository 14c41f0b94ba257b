"""What was learned, saved and loaded: the same quotes after a restart, and clear errors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferprint import Config, ConfigError, Tracker, cli
from inferprint.equivalences import shipped
from inferprint.testing import FakeClock, FakeSource
from rig import Rig, by_hand
from served import IDLE_W, Served

IN_FLIGHT = {"idle_w": IDLE_W, "idle_policy": "in_flight"}


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A tracker that knows what work costs, with no request in flight."""
    with by_hand(**IN_FLIGHT) as made:
        Served(made).warm_up()
        made.clock.advance(3600.0)
        made.tracker.sample()
        yield made


@pytest.fixture
def path(rig: Rig, tmp_path: Path) -> Path:
    """A file that it has saved."""
    rig.tracker.save(str(tmp_path / "learned.json"))
    return tmp_path / "learned.json"


def quoted(rig: Rig) -> list[Any]:
    """Quotes of several requests, as plain values."""
    tracker = rig.tracker
    quotes = [
        tracker.quote("m", 100, output_tokens=200),
        tracker.quote("m", 0, max_output_tokens=1_000),
        tracker.quote("m", 0, max_output_tokens=10),
        tracker.quote("unseen", 0, output_tokens=10),
    ]
    return [quote.to_dict() for quote in quotes]


def test_a_restart_gives_the_same_quotes(rig: Rig, path: Path) -> None:
    """At the same load, what was loaded quotes what was saved: energy, time, intervals."""
    with by_hand(**IN_FLIGHT, learned_path=str(path)) as again:
        again.clock.advance(0.1)
        again.tracker.sample()
        for before, after in zip(quoted(rig), quoted(again), strict=True):
            expected, found = flat(before), flat(after)
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                number = isinstance(value, float)
                assert found[name] == (pytest.approx(value, rel=1e-9) if number else value), name


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The leaves of a plain value, by where they are."""
    if isinstance(value, dict):
        items = [flat(inner, f"{name}.{key}") for key, inner in value.items()]
        return {key: leaf for item in items for key, leaf in item.items()}
    return {} if isinstance(value, list) else {name: value}


def test_a_restart_does_not_start_cold(path: Path) -> None:
    """The first receipts after it are weighed by what was learned, where a cold start's are by
    time in flight.
    """
    methods = []
    for settings in ({"learned_path": str(path)}, {}):
        with by_hand(**IN_FLIGHT, **settings) as again:
            served = Served(again)
            served.to(2)
            served.run(20)
            served.to(0)
            methods += [receipt.attribution_method for receipt in again.receipts()]
    assert methods == ["learned_work"] * 2 + ["time_in_flight"] * 2


def test_saving_changes_nothing(tmp_path: Path) -> None:
    """A tracker that saves again and again learns and charges just as one that never does."""
    receipts = []
    for saves in (False, True):
        with by_hand(**IN_FLIGHT) as rig:
            served = Served(rig)
            for _ in range(4):
                served.warm_up()
                if saves:
                    rig.tracker.save(str(tmp_path / "learned.json"))
            receipts.append([receipt.energy for receipt in rig.receipts()])
    assert receipts[0] == receipts[1]


def test_the_stop_saves_where_the_start_loads(tmp_path: Path) -> None:
    """``learned_path`` alone makes learning go on over restarts; a first start has no file."""
    path = tmp_path / "learned.json"
    with by_hand(**IN_FLIGHT, learned_path=str(path)) as rig:
        Served(rig).warm_up()
    saved = json.loads(path.read_text())
    assert saved["devices"][0]["work"]["identified"]
    with by_hand(**IN_FLIGHT, learned_path=str(path)) as rig:
        rig.clock.advance(1.0)
        rig.tracker.sample()
        assert rig.tracker.quote("m", 0, output_tokens=10).energy.total_j is not None
    assert [file.name for file in tmp_path.iterdir()] == ["learned.json"]


def test_a_run_without_requests_leaves_the_file_alone(tmp_path: Path) -> None:
    """Nothing learned is nothing to save."""
    path = tmp_path / "learned.json"
    with by_hand(**IN_FLIGHT, learned_path=str(path)) as rig:
        rig.clock.advance(1.0)
        rig.tracker.sample()
    assert not path.exists()


@pytest.mark.parametrize(
    ("device", "name", "known"),
    [
        ("gpu:0", "fake gpu", True),
        ("gpu:7", "fake gpu", True),
        ("gpu:0", "another gpu", False),
    ],
)
def test_work_is_known_of_the_same_board(path: Path, device: str, name: str, known: bool) -> None:
    """Costs are taken up on the same device, or on another of the same name; never on a board of
    another.
    """
    renamed = path.read_text().replace('"fake gpu"', json.dumps(name))
    path.write_text(renamed.replace('"gpu:0"', json.dumps(device)))
    with by_hand(**IN_FLIGHT, learned_path=str(path)) as again:
        again.clock.advance(0.1)
        again.tracker.sample()
        quote = again.tracker.quote("m", 0, output_tokens=10)
        assert (quote.energy.total_j is not None) == known


def damaged(path: Path, where: list[Any], value: Any) -> None:
    """Writes another value into the file."""
    plain = json.loads(path.read_text())
    inner = plain
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    path.write_text(json.dumps(plain))


@pytest.mark.parametrize(
    ("where", "value", "named"),
    [
        (["format"], "something", "format"),
        (["version"], 99, "version"),
        (["devices"], None, "devices"),
        (["devices"], 5, "devices"),
        (["devices", 0, "work", "fit", "estimate"], [1.0], "devices[0]"),
        (["devices", 0, "work", "fit", "estimate", 0], -1.0, "devices[0]"),
        (["devices", 0, "work", "fit", "information"], [[-5.0]], "devices[0]"),
        (["devices", 0, "work", "fit", "information", 0, 0], -1e30, "devices[0]"),
        (["devices", 0, "work", "own"], {"m": [0, 1, 99]}, "devices[0]"),
        (["devices", 0, "work", "recent"], [[1.0]], "devices[0]"),
        (["devices", 0, "work", "recent", 0, 0], 0.0, "devices[0]"),
        (["devices", 0, "busy_w"], [1.0], "devices[0]"),
        (["models"], [], "models"),
        (["models", "m", "pace", "output_rate"], [-1.0, 2.0], "models['m'].pace"),
        (["models", "m", "record", "energy"], ["x"], "models['m'].record"),
        (["models", "m", "record", "energy"], [1e300] * 300, "outlook"),
        (["outlook", "crowd"], {"walking": 1}, "outlook"),
        (["outlook", "crowd", "running"], "many", "outlook"),
        (["outlook", "devices", 0, "id"], "gpu:9", "outlook"),
    ],
)
def test_a_damaged_file_is_told_in_the_constructor(
    path: Path, where: list[Any], value: Any, named: str
) -> None:
    """The error names the setting, the file, the field in it, and what mends it."""
    damaged(path, where, value)
    with pytest.raises(ConfigError) as refused:
        Tracker(Config(learned_path=str(path)), sources=[])
    assert refused.value.field == "learned_path"
    assert refused.value.given == str(path)
    assert named in str(refused.value)
    assert f"rm {path}" in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"format": "inferprint-learned", "version": NaN}', "\0\xff"]
)
def test_a_foreign_file_is_told_in_the_constructor(tmp_path: Path, text: str) -> None:
    """Whatever it holds."""
    path = tmp_path / "learned.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="learned_path"):
        Tracker(Config(learned_path=str(path)), sources=[])


def test_numbers_without_end_are_refused(path: Path) -> None:
    """1e999 is JSON, and no number that anything can be computed with."""
    text = path.read_text().replace('"seen_s": ', '"seen_s": 1e999, "was": ')
    path.write_text(text)
    with pytest.raises(ConfigError, match="1e999"):
        Tracker(Config(learned_path=str(path)), sources=[])


def test_a_folder_that_is_not_there_is_told(rig: Rig, tmp_path: Path) -> None:
    """``save`` says what mends it."""
    with pytest.raises(ConfigError, match="mkdir -p") as refused:
        rig.tracker.save(str(tmp_path / "missing" / "learned.json"))
    assert refused.value.field == "path"


def test_a_setting_without_a_folder_is_told_in_the_constructor(tmp_path: Path) -> None:
    """Not at the stop, when what was learned would be lost."""
    with pytest.raises(ConfigError, match="mkdir -p") as refused:
        Tracker(Config(learned_path=str(tmp_path / "missing" / "learned.json")), sources=[])
    assert refused.value.field == "learned_path"


def test_a_device_that_is_away_is_not_forgotten(path: Path) -> None:
    """A run without the GPU, or one that never came to read it, saves what was known of it."""
    before = json.loads(path.read_text())
    for sources in ([], [FakeSource(FakeClock(), device="gpu:3", idle_w=IDLE_W)]):
        Tracker(Config(learned_path=str(path)), sources=sources, clock=FakeClock()).start().stop()
        after = json.loads(path.read_text())
        assert before["devices"][0] in after["devices"]
        assert after["models"] == before["models"]


def test_a_stop_that_can_not_save_goes_on(tmp_path: Path) -> None:
    """The folder is gone by the stop: it is counted, and nothing is raised."""
    folder = tmp_path / "state"
    folder.mkdir()
    with by_hand(**IN_FLIGHT, learned_path=str(folder / "learned.json")) as rig:
        Served(rig).warm_up()
        folder.rmdir()
    assert ("learned_path", "ConfigError") in rig.tracker.status().source_errors


# ---- the command ------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    """The exit code and the output of ``inferprint quote``."""
    code = cli.main(["quote", "--model", "m", "--input", "0", *args])
    return code, capsys.readouterr().out


def test_the_command_quotes_what_was_saved(
    rig: Rig, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the tracker did when it saved, and it says when that was."""
    code, out = run(capsys, "--output", "100", "--state", str(path), "--json")
    assert code == 0
    plain = json.loads(out)
    expected = rig.tracker.quote("m", 0, output_tokens=100).to_dict()
    assert plain["energy"]["total_j"] == pytest.approx(expected["energy"]["total_j"])
    assert plain["saved_at"] == json.loads(path.read_text())["saved_at"]
    code, out = run(capsys, "--max-output", "100", "--state", str(path))
    assert code == 0
    assert "at most" in out
    assert plain["saved_at"] in out


def test_the_command_says_what_else_takes_as_much(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On request alone, each with its source; of an unknown quote nothing."""
    known = ("--output", "100", "--state", str(path))
    _, plainly = run(capsys, *known)
    _, out = run(capsys, *known, "--equivalences")
    said = [line for line in out.splitlines() if line.startswith("as much as ")]
    assert len(said) == len(shipped())
    assert all(one.source in line for one, line in zip(shipped(), said, strict=True))
    assert "as much as" not in plainly
    assert "as much as" not in run(capsys, "--output", "100", "--equivalences")[1]


def test_the_command_without_a_state_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown, exit code 1, and how to come by a state."""
    code, out = run(capsys, "--output", "100")
    assert code == 1
    assert "INFERPRINT_LEARNED_PATH" in out
    assert "--state" in out


def test_the_command_says_what_it_does_not_know(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that was never served is unknown, with exit code 1."""
    code = cli.main(
        ["quote", "--model", "x", "--input", "1", "--output", "1", "--state", str(path)]
    )
    assert code == 1
    assert "'x'" in capsys.readouterr().out


def test_the_command_refuses_a_broken_state(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, naming the option."""
    damaged(path, ["version"], 0)
    assert run(capsys, "--output", "1", "--state", str(path))[0] == 2
    assert math.isfinite(path.stat().st_size)


def test_two_devices_of_one_name_learn_apart(path: Path) -> None:
    """What is taken up for another device of the same name is a copy: each goes on by itself."""
    clock = FakeClock()
    sources = [FakeSource(clock, device=f"gpu:{i}", watts=100.0, idle_w=IDLE_W) for i in (5, 6)]
    tracker = Tracker(
        Config(learned_path=str(path), exporters=()), sources=sources, clock=clock
    ).start()
    first, second = tracker._engine.books.ledgers.values()
    assert first.weights.prices() == second.weights.prices() is not None
    assert first.weights.learner.model is not second.weights.learner.model  # type: ignore[attr-defined]
    tracker.stop()
