"""``inferprint proxy`` as a program: it serves, settles what it measured, and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from inferprint import cli
from support import REPO, run_python

EXPORTER = """
import inferprint.cli, inferprint._default
from inferprint import Tracker
class Told:
    name = "told"
    def start(self, tracker): pass
    def export(self, receipts): print(*(r.outcome for r in receipts), flush=True)
    def close(self): pass
first = Tracker.__init__
def init(self, *args, **kwargs): first(self, *args, exporters=[Told()], **kwargs)
Tracker.__init__ = init
arguments = ["proxy", "--upstream", "http://127.0.0.1:9", "--port", "0", "--json"]
raise SystemExit(inferprint.cli.main(arguments))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_settles_before_it_ends(
    tmp_path: Path, number: signal.Signals
) -> None:
    """What was measured last is handed over too, and the exit code is 0."""
    script = tmp_path / "run.py"
    script.write_text(EXPORTER)
    environment = {**os.environ, "INFERPRINT_SOURCES": "cpu_model"}
    with subprocess.Popen(
        [sys.executable, script], cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["listening"]
        with pytest.raises(urllib.error.HTTPError, match="502") as caught:
            urllib.request.urlopen(url + "/v1/chat/completions", data=b"{}")
        caught.value.close()
        process.send_signal(number)
        output, _ = process.communicate(timeout=20)
    assert output == "error\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--upstream", "localhost:8000"], "upstream"),
        (["--upstream", "http://x:99999"], "upstream"),
        (["--upstream", "http://x", "--label", "tenant"], "label"),
        (["--upstream", "http://x", "--label", "a b=x"], "label"),
        (["--upstream", "http://x", "--hash-label", "tenant"], "hash_label"),
        (["--upstream", "http://x", "--max-body-mib", "0"], "max_body_mib"),
        (["--upstream", "http://x", "--port", "99999"], "port"),
    ],
)
def test_wrong_usage_names_what_is_wrong(
    options: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is served."""
    assert cli.main(["proxy", "--port", "0", *options]) == cli.WRONG_USAGE
    assert f"inferprint: {named}=" in capsys.readouterr().err


def test_what_is_missing_is_named_with_its_extra() -> None:
    """Without aiohttp: the command that brings it."""
    script = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from inferprint.cli import main; main(['proxy', '--upstream', 'http://x'])"
    )
    result = run_python("-c", script)
    assert "pip install 'inferprint[proxy]'" in result.stderr
