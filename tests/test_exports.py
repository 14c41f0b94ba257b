"""The public names: listed, documented, typed."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from importlib.resources import files

import pytest

import inferprint
import inferprint.errors


def test_the_list_of_public_names_is_sorted() -> None:
    """`__all__` is in order and names nothing twice."""
    assert list(inferprint.__all__) == sorted(set(inferprint.__all__))


@pytest.mark.parametrize("name", inferprint.__all__)
def test_public_names_are_there_and_documented(name: str) -> None:
    """Every public name can be imported; classes and functions say what they do."""
    value = getattr(inferprint, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        assert inspect.getdoc(value)


@pytest.mark.parametrize("name", inferprint.__all__)
def test_public_methods_are_documented(name: str) -> None:
    """Every public method and property of a public class says what it does."""
    value = getattr(inferprint, name)
    members = vars(value) if inspect.isclass(value) else {}
    bare = [
        member
        for member, what in members.items()
        if not member.startswith("_")
        if inspect.isroutine(what) or isinstance(what, property | classmethod | staticmethod)
        if not inspect.getdoc(what)
    ]
    assert bare == []


def test_every_error_is_public() -> None:
    """Each class of the error tree can be caught by a name from `inferprint`."""
    assert set(inferprint.errors.__all__) <= set(inferprint.__all__)


@pytest.mark.parametrize("package", ["inferprint", "inferprint_exporters"])
def test_the_packages_are_typed(package: str) -> None:
    """Type checkers of users read our annotations: py.typed ships."""
    assert (files(package) / "py.typed").is_file()


@pytest.mark.parametrize("group", ["inferprint.exporters", "inferprint.commands"])
def test_entry_points_lead_somewhere(group: str) -> None:
    """What pyproject.toml declares can be loaded."""
    for entry in entry_points(group=group):
        if entry.dist is not None and entry.dist.name == "inferprint":
            assert entry.load()
