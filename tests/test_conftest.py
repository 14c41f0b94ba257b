"""The fixture that watches over every test does fail a test that leaves something behind."""

from __future__ import annotations

from pathlib import Path

from support import REPO, run_python

LEAKING = """
import socket, threading

kept = []

def test_thread(): threading.Thread(target=threading.Event().wait, name="left", daemon=True).start()
def test_socket(): kept.append(socket.socket())
def test_file(): kept.append(open(__file__))
def test_clean():
    thread = threading.Thread(target=print)
    thread.start()
    open(__file__).close()
"""


def test_a_test_that_leaves_a_thread_a_socket_or_a_file_fails(tmp_path: Path) -> None:
    """Each kind of leak fails its own test and names what was left; a clean test passes."""
    tests = tmp_path / "test_leaking.py"
    tests.write_text(LEAKING)
    result = run_python(
        *("-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "--rootdir", tmp_path),
        *("-c", "/dev/null", "-rA", tests),
        env={"PYTHONPATH": str(REPO / "tests"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert "3 errors" in result.stdout, result.stdout + result.stderr
    assert "left behind: left" in result.stdout
    assert "socket:[" in result.stdout
    assert str(tests) in result.stdout
    assert "ERROR" not in "".join(line for line in result.stdout.splitlines() if "clean" in line)
