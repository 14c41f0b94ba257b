"""Every example runs without arguments, ends by itself and shows what it promises."""

from __future__ import annotations

import json
import re
import tempfile

import pytest

from support import REPO, missing, require_module, run_python

EXAMPLES = sorted(path.name for path in (REPO / "examples").glob("*.py"))
MODELLED_CPU = {"INFERPRINT_SOURCES": "cpu_model"}
"""A source that every machine has."""


# Measured or not is the machine's matter; unknown it may not be.
KNOWN = ("measured", "prorated", "modelled")


def run(name: str, warnings: str = "error", **env: str) -> str:
    result = run_python("-W", warnings, REPO / "examples" / name, env=MODELLED_CPU | env)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "" or warnings != "error"
    return result.stdout


def test_every_example_is_tested() -> None:
    """An example that is added without a test below fails here."""
    assert EXAMPLES == [
        "01_decorator.py",
        "02_fastapi.py",
        "03_streaming.py",
        "04_asyncio.py",
        "05_hosted.py",
        "06_chat.py",
        "07_gradio.py",
        "08_transformers.py",
        "09_openai.py",
        "10_ray_serve.py",
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short(name: str) -> None:
    """An example is read in a minute: less than 60 lines."""
    assert len((REPO / "examples" / name).read_text().splitlines()) < 60


def test_a_decorated_function_gets_a_receipt_per_call() -> None:
    """Two calls give two receipts, with the joules and the tokens of each."""
    receipts = [line for line in run("01_decorator.py").splitlines() if "demo-model" in line]
    assert len(receipts) == 2
    assert all(re.search(r"\d [mµk]?J\b", line) for line in receipts)
    assert all(any(word in line for word in KNOWN) for line in receipts)


def test_a_reply_carries_its_footprint() -> None:
    """The endpoint's reply has an estimate above 0 J whose parts do not exceed the whole."""
    try:
        import fastapi  # noqa: F401
        import httpx  # noqa: F401
    except ModuleNotFoundError as error:
        missing(str(error.name), "pip install 'inferprint[examples]'")
    footprint = json.loads(run("02_fastapi.py"))["usage"]["footprint"]
    assert footprint["is_estimated"] is True
    assert footprint["provenance"] in KNOWN
    parts = footprint["active_joules"] + footprint["idle_joules"]
    assert 0 < parts <= footprint["energy_joules"] + 1e-5


def test_a_stream_tells_its_tokens_as_they_come() -> None:
    """The first token is told before the end, and the receipt counts them all."""
    words, receipt, first = run("03_streaming.py").splitlines()
    match = re.match(r"first token after (\d+\.\d+) s of (\d+\.\d+) s", first)
    assert match is not None
    assert 0 < float(match[1]) < float(match[2])
    assert re.search(rf"\b{len(words.split())}\b", receipt)


@pytest.mark.real
@pytest.mark.timeout(300)
def test_a_transformers_model_is_tracked() -> None:
    """Two generations have a receipt each, with their tokens and their first token's time."""
    require_module("transformers", "pip install 'inferprint[large]'")
    lines = run("08_transformers.py", warnings="default").splitlines()
    assert ["in 20 out 20" in line for line in lines] == [True, False, False, False]
    assert "in 60 out 60" in lines[2]
    for line in lines[1::2]:
        first_s, whole_s = map(float, re.findall(r"(\d+\.\d+) s", line))
        assert 0 < first_s < whole_s


@pytest.mark.huge
@pytest.mark.timeout(300)
def test_a_request_through_deployments_is_tracked() -> None:
    """Both have a receipt, with the label of the request in common, and there is their sum."""
    require_module("ray", "pip install 'inferprint[ray]'")
    # Ray's sockets have paths of about a hundred characters at most; its key is kept at home.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        output = run("10_ray_serve.py", warnings="default", RAY_TMPDIR=folder, HOME=folder)
    words, writer, chat, whole = output.splitlines()
    assert len(words.split()) == 8
    assert " Writer ok " in writer
    assert "out 8" in writer
    assert " Chat ok " in chat
    assert " Chat ok " in whole


def test_an_openai_client_is_tracked() -> None:
    """The reply comes, and its receipt has the server's tokens."""
    require_module("openai", "pip install 'inferprint[openai]'")
    answer, receipt = run("09_openai.py").splitlines()
    assert len(answer.split()) == 8
    assert "demo-model ok" in receipt
    assert "in 12 out 8" in receipt


def test_concurrent_receipts_add_up_to_the_books() -> None:
    """What twenty overlapping receipts sum to is what the books say was charged."""
    output = run("04_asyncio.py")
    receipts_j, charged_j, measured_j = map(float, re.findall(r"(\d+\.\d+) J", output)[-3:])
    assert receipts_j == pytest.approx(charged_j, abs=0.002)
    assert 0 < charged_j <= measured_j


def test_a_call_to_a_model_elsewhere_has_a_receipt() -> None:
    """It is modelled and flagged, said in words, and charged to nothing that was measured."""
    require_module("ecologits", "pip install 'inferprint[ecologits]'")
    output = run("05_hosted.py")
    assert " | modelled | hosted" in output
    assert re.search(r"^carbon +[\d.]+ [µm]?g CO2e$", output, re.MULTILINE)
    assert "a 9 W LED lamp for" in output
    assert output.endswith("charged to requests that were measured here: 0 J\n")


def test_an_answer_of_the_chat_carries_its_footprint() -> None:
    """Settled, with the parts that its badge shows; test_badge.py has it in a browser."""
    require_module("fastapi", "pip install 'inferprint[examples]'")
    reply = json.loads(run("06_chat.py"))
    footprint = reply["usage"]["footprint"]
    assert reply["text"] == "What does this answer cost?"
    assert footprint["is_estimated"] is False
    assert footprint["provenance"] in KNOWN
    assert footprint["energy_joules"] > 0


@pytest.mark.real
def test_an_answer_of_the_gradio_chat_has_its_badge() -> None:
    """The text, and HTML with the figure; test_badge.py has it in a browser."""
    require_module("gradio", "pip install 'inferprint[large]'")
    # Gradio leaves sockets to the collector, which warns of them.
    text, html = run("07_gradio.py", warnings="ignore::ResourceWarning").splitlines()
    assert text == "What does this answer cost?"
    assert re.search(r"^<inferprint-badge .*Wh · (measured|prorated|modelled)</", html)
