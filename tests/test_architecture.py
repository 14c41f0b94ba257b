"""The direction of flow and what an import costs, held by reading and running the code."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import REPO, run_python

TRACKER = REPO / "tracker" / "inferprint"
EXPORTERS = REPO / "exporters" / "inferprint_exporters"

PURE = (
    "agent.estimates",
    "agent.levels",
    "agent.plain",
    "attribution",
    "books",
    "boundaries",
    "cpu_work",
    "device_names",
    "doubts",
    "footprint",
    "hardware",
    "hours",
    "html",
    "idle",
    "impacts",
    "intensity.known",
    "intensity.series",
    "items",
    "learned",
    "learning.alike",
    "learning.crowd",
    "learning.errors",
    "learning.hearing",
    "learning.lag",
    "learning.latest",
    "learning.own",
    "learning.past",
    "learning.record",
    "levels",
    "loopback",
    "meters",
    "notes",
    "outlook",
    "owners",
    "paying",
    "pool",
    "presence",
    "proxy.asked",
    "proxy.coding",
    "proxy.insert",
    "proxy.plain",
    "proxy.scan",
    "proxy.sse",
    "proxy.stream",
    "proxy.told",
    "quotation",
    "quote",
    "quoting",
    "ranges",
    "readable",
    "scatter",
    "settlement",
    "sharing",
    "splitting",
    "stakes",
    "strands",
    "standing",
    "step_intervals",
    "steps",
    "ticks",
    "timeline",
    "tracing",
    "uncertainty",
    "weighing",
    "weights",
    "windows",
    "wire",
)
IMPURE = {"logging", "os", "random", "secrets", "socket", "subprocess", "threading", "time"}
HEAVY = {
    "aiohttp",
    "codecarbon",
    "ecologits",
    "msgpack",
    "numpy",
    "pandas",
    "pydantic",
    "ray",
    "requests",
    "torch",
    "uvicorn",
}
ALLOWED_SLOWDOWN_S = 0.030
"""What `import inferprint` may take on top of `import prometheus_client`."""


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function, by its full name.

    What is imported for type checkers alone is not among them.
    """
    return set(_imported(ast.parse(path.read_text())))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _imported(node)


def offences(paths: Iterator[Path], *banned: str) -> list[str]:
    """``file imports module`` for each import at or below a banned module."""
    return [
        f"{path.relative_to(REPO)} imports {name}"
        for path in paths
        for name in sorted(imports(path))
        if any(name == module or name.startswith(module + ".") for module in banned)
    ]


def code() -> Iterator[Path]:
    """Every file of the two packages."""
    yield from TRACKER.rglob("*.py")
    yield from EXPORTERS.rglob("*.py")


def pure() -> Iterator[Path]:
    """The modules that only compute, with all of ours that they import."""
    waiting, seen = [f"inferprint.{name}" for name in PURE], set[Path]()
    while waiting:
        path = _file_of(waiting.pop())
        if path is not None and path not in seen:
            seen.add(path)
            waiting += imports(path)
    return iter(sorted(seen))


def _file_of(module: str) -> Path | None:
    """The file of one of the tracker's own modules; what is not one has none."""
    path = REPO.joinpath("tracker", *module.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file() and path != TRACKER), None)


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    """The reader that the tests below rest on sees all that run and none for types alone."""
    file = tmp_path / "file.py"
    file.write_text(
        "import a.b\n"
        "if typing.TYPE_CHECKING:\n    import types_only\n"
        "def f():\n    from c import d\n    from . import e\n"
    )
    assert imports(file) == {"a.b", "c", "c.d", ".", "None.e"}


def test_the_tracker_never_imports_the_exporters() -> None:
    """Exporters are found by entry point, the same door that others use."""
    assert offences(TRACKER.rglob("*.py"), "inferprint_exporters") == []


def test_the_numeric_core_is_pure() -> None:
    """Attribution, idle policies and footprint have no clock, no I/O, no log and no stages,
    nor has anything of ours that they are built on.
    """
    assert {path.stem for path in pure()} >= {*(name.split(".")[-1] for name in PURE), "records"}
    stages = {
        f"inferprint.{name}" for name in ("_config", "_runtime", "lanes", "sampler", "sources")
    }
    assert offences(pure(), *IMPURE, *stages) == []


def test_the_numeric_core_opens_and_prints_nothing() -> None:
    """`open`, `print` and `input` need no import, so they are looked for by name."""
    calls = [
        f"{path.name}:{node.lineno} calls {node.func.id}"
        for path in pure()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in {"open", "print", "input"}
    ]
    assert calls == []


def test_sources_know_nothing_downstream() -> None:
    """A source gives joules; windows, shares and exporters are not its business."""
    downstream = ("_runtime", "attribution", "delivery", "footprint", "receipt", "request")
    banned = [f"inferprint.{name}" for name in (*downstream, "lanes", "sampler")]
    assert offences((TRACKER / "sources").rglob("*.py"), *banned, "inferprint_exporters") == []


def test_only_the_settings_read_the_environment() -> None:
    """Every setting is in `_config`, so that one page can list them all."""
    readers = {
        path.relative_to(REPO).as_posix()
        for path in code()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
    }
    assert readers == {"tracker/inferprint/_config.py"}


def test_nothing_is_imported_by_its_folder() -> None:
    """`import tracker.inferprint` at the root of the repository would load a second copy."""
    everywhere = (path for path in REPO.rglob("*.py") if ".venv" not in path.parts)
    assert offences(everywhere, "tracker", "exporters") == []


def test_importing_inferprint_loads_nothing_heavy() -> None:
    """A serving process pays for no table, model or web library by importing the tracker."""
    result = run_python(
        "-c", "import inferprint, sys; print(*{n.split('.')[0] for n in sys.modules})"
    )
    assert result.returncode == 0, result.stderr
    assert HEAVY & set(result.stdout.split()) == set()


def test_importing_inferprint_starts_nothing() -> None:
    """No thread, no file and no device is touched before a tracker starts."""
    count = "print(threading.active_count(), os.listdir('/proc/self/fd'))"
    without = run_python("-c", f"import os, threading; {count}")
    result = run_python("-c", f"import os, threading, inferprint; {count}")
    assert result.returncode == 0, result.stderr
    assert result.stdout == without.stdout


def test_importing_inferprint_is_quick() -> None:
    """It takes at most 30 ms of CPU time more than prometheus_client, which every server has
    anyway.

    The two in turns, and the least of several runs of each: noise only ever adds time.
    """
    script = "import time; t=time.process_time(); import {}; print(time.process_time()-t)"
    least = {"prometheus_client": math.inf, "inferprint": math.inf}
    for _ in range(7):
        for module, before_s in least.items():
            taken_s = float(run_python("-c", script.format(module)).stdout)
            least[module] = min(before_s, taken_s)
    assert least["inferprint"] <= least["prometheus_client"] + ALLOWED_SLOWDOWN_S, least


@pytest.mark.parametrize("path", sorted(code()), ids=lambda path: path.relative_to(REPO).as_posix())
def test_modules_say_what_they_are(path: Path) -> None:
    """Every module begins with a docstring that says what it is for."""
    assert ast.get_docstring(ast.parse(path.read_text()))
