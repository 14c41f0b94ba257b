"""The types of the public API, as a user's type checker sees them."""

from __future__ import annotations

from importlib.util import find_spec

from support import REPO, missing, run_python


def test_the_public_api_is_typed_for_users() -> None:
    """Decorated functions keep their signatures, and what is wrong is an error."""
    if find_spec("mypy") is None:
        missing("mypy", "pip install -e '.[lint]'")
    api = REPO / "tests" / "typing_api.py"
    result = run_python("-m", "mypy", "--strict", api, timeout_s=110)
    assert result.returncode == 0, result.stdout
