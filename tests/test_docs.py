"""The documentation is complete and true: what exists is on a page, and what a page shows runs."""

from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
from pathlib import Path

import pytest

import inferprint.errors
from inferprint import Config, cli, flags
from inferprint.sources import rapl_zones
from inferprint_exporters.terminal.view import DeviceRow, Grid, ModelRow, RequestRow, View
from support import REPO, run_python

DOCS = REPO / "docs"
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def page(name: str) -> str:
    return (DOCS / name).read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(text: str) -> set[str]:
    """What the first cells of a page's tables name in code type."""
    return {row[0].strip("`") for row in rows(text) if row[0].startswith("`")}


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of any level."""
    return re.split(r"^#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command's parser by its name."""
    subparsers = argparse.ArgumentParser().add_subparsers()
    for command in cli._commands():
        command.add_parser(subparsers)
    return dict(subparsers.choices)


def test_every_setting_is_documented_with_its_variable_and_default() -> None:
    """The table of settings has each field, in its order, and nothing that is gone."""
    expected = [
        [f"`{f.name}`", f"`INFERPRINT_{f.name.upper()}`", f"`{getattr(Config(), f.name)!r}`"]
        for f in dataclasses.fields(Config)
    ]
    settings = [row[:3] for row in rows(page("configuration.md")) if row[0].startswith("`")]
    assert settings == expected


def test_every_command_is_documented() -> None:
    """Each command has a section of its own, and each section a command."""
    headings = re.findall(r"^## inferprint (\S+)$", page("cli.md"), flags=re.M)
    assert sorted(headings) == sorted(commands())


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_option_is_documented(command: str) -> None:
    """A command's table has its options, except --help, and nothing that is gone."""
    options = {name for action in commands()[command]._actions for name in action.option_strings}
    documented = named(section(page("cli.md"), f"inferprint {command}"))
    assert documented == options - {"-h", "--help"}


def test_every_flag_is_documented() -> None:
    """The table of flags has each flag that a receipt can carry, with its meaning."""
    table = {row[0].strip("`"): row[1] for row in rows(section(page("concepts.md"), "Flags"))[2:]}
    assert table == dict(flags.MEANING)


def test_every_error_is_documented() -> None:
    """The table of errors has each class of the error tree."""
    assert named(section(page("concepts.md"), "Errors")) == set(inferprint.errors.__all__)


def test_the_page_on_rapl_has_what_doctor_says() -> None:
    """The commands that grant the counters are those of the findings."""
    granted = rapl_zones.GRANT.format(root=Config().powercap_root)
    commands = {row[1].strip("`") for row in rows(page("rapl.md"))[2:]}
    assert {granted, rapl_zones.MOUNT, rapl_zones.LOAD} <= commands


def test_every_picture_is_on_the_page_of_pictures() -> None:
    """And says in words what it shows, for those who cannot see it."""
    shown = dict(re.findall(r"!\[([^\]]*)\]\(pictures/([^)]+)\)", page("pictures.md")))
    assert set(shown.values()) == {path.name for path in (DOCS / "pictures").iterdir()}
    assert all(len(words.split()) > 3 for words in shown)


def test_the_page_on_top_names_every_field() -> None:
    """What --json prints is documented, field by field."""
    table = " ".join(" ".join(row) for row in rows(page("top.md")))
    records = (View, DeviceRow, ModelRow, RequestRow, Grid)
    fields = {field.name for record in records for field in dataclasses.fields(record)}
    assert fields <= set(re.findall(r"`(\w+)`", table))


def test_links_lead_somewhere() -> None:
    """A link to a file of the repository names one that is there, heading included."""
    dead = [
        f"{here.name}: {target}"
        for here in PAGES
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", here.read_text())
        if not _is_there(here, *target.partition("#")[::2])
    ]
    assert dead == []


def _is_there(here: Path, file: str, anchor: str) -> bool:
    path = here.parent / file if file else here
    return path.exists() and (not anchor or anchor in _anchors(path.read_text()))


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_blocks(path: Path) -> str:
    """A page's blocks of Python, as one script."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(), flags=re.M | re.S))


@pytest.mark.parametrize("path", [p for p in PAGES if code_blocks(p)], ids=lambda path: path.name)
def test_code_in_the_documentation_runs(path: Path, tmp_path: Path) -> None:
    """A page's Python blocks, read from top to bottom, run without an error or a warning.

    What the pages of docs/ print is what they say that they print.
    """
    script = tmp_path / "page.py"
    script.write_text(code_blocks(path))
    result = run_python(script)
    assert result.returncode == 0, result.stderr
    assert path.parent != DOCS or result.stdout in path.read_text()


def test_no_file_names_the_machine_it_was_written_on() -> None:
    """No absolute path of somebody's home or working folder is committed."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    git = subprocess.run(listed, cwd=REPO, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not a git checkout: git clone the repository to check its files")
    private = re.compile(rb"(?<![\w.])/(work|home|root|Users)/\w")
    files = [REPO / name for name in git.stdout.splitlines() if (REPO / name).is_file()]
    assert files
    assert [path for path in files if private.search(path.read_bytes())] == []
