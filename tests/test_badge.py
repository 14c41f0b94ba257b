"""The badge: as HTML from Python, as an element in a real Chromium, and in two chats."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from browser import chromium, tab
from fake_tracker import FakeTracker
from inferprint import ConfigError, Cost, Receipt
from inferprint.html import Show, badge
from inferprint.impacts import Carbon
from inferprint.wire import footprint_of
from inferprint_exporters.live import BADGE_JS, LiveExporter
from inferprint_exporters.live.app import HEADERS
from receipts import component, receipt
from support import REPO, require_module

MARKUP = '"><img src=x onerror=alert(1)>'
MOST_BYTES = 20_000


def answered(**more: Any) -> Receipt:
    """864 J, of which 540 J were computing, 216 J idle and 108 J waiting."""
    given = {
        "parts": {"gpu": component(540, 216, 108)},
        "carbon": Carbon(0.012, 0.0134, 0.015),
        "cost": Cost(6e-5, 6e-5, 6e-5, currency="EUR"),
        **more,
    }
    return receipt(**given)


class Elements(HTMLParser):
    """The elements of some HTML, with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("show", "text"),
    [
        ("energy", "0.24 Wh · measured"),
        ("carbon", "13.4 mg CO2e · measured"),
        ("cost", "0.00006 EUR · measured"),
    ],
)
def test_the_helper_gives_one_element_with_the_figure_as_its_text(show: Show, text: str) -> None:
    """Where the element's script is not loaded the figure is there all the same."""
    made = Elements(badge(answered(), show))
    ((tag, attributes),) = made.found
    assert (tag, attributes["show"]) == ("inferprint-badge", show)
    assert json.loads(attributes["footprint"] or "") == footprint_of(answered())
    assert made.text == text


def test_the_helper_takes_the_footprint_of_a_reply_too() -> None:
    """What came over the wire gives the same badge as the receipt."""
    wire = json.loads(json.dumps(footprint_of(answered())))
    assert badge(wire) == badge(answered())


def test_the_helper_escapes_everything() -> None:
    """A currency, an id or a method with markup makes no element."""
    hostile = replace(
        answered(cost=Cost(1.0, 1.0, 1.0, currency=MARKUP), request_id=MARKUP),
        attribution_method=MARKUP,
    )
    made = Elements(badge(hostile, "cost"))
    assert [tag for tag, _ in made.found] == ["inferprint-badge"]
    assert MARKUP in made.text


@pytest.mark.parametrize("show", ["energy", "carbon", "cost"])
def test_what_is_unknown_is_not_zero(show: Show) -> None:
    """A receipt without figures has a badge that says unknown."""
    text = Elements(badge(receipt(), show)).text
    assert text == "footprint unknown"


def test_a_figure_that_is_none_of_the_three_is_refused() -> None:
    """The error names the argument and what would be right."""
    with pytest.raises(ConfigError, match="show='water': expected 'energy' or 'carbon' or 'cost'"):
        badge(answered(), "water")  # type: ignore[arg-type]


def test_the_element_is_one_small_file_that_can_be_inlined() -> None:
    """It loads nothing, weighs little, and holds nothing that would end a script element."""
    source = BADGE_JS.read_text()
    assert len(source.encode()) < MOST_BYTES
    assert re.search(r"^import|import\(|https?:", source, re.M) is None
    assert "</script" not in source.lower()


# ---- in a browser ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@contextmanager
def page_with(browser: Any, html: str) -> Iterator[Any]:
    """A page of the live server, under its strict policy, with this alone in its body."""
    exporter = LiveExporter(listen=("127.0.0.1", 0))
    exporter.start(FakeTracker())  # type: ignore[arg-type]
    body = f'<!doctype html><script type="module" src="static/badge.js"></script>{html}'
    try:
        with tab(browser, "about:blank") as opened:
            opened.page.route(
                f"{exporter.url}bare",
                lambda route: route.fulfill(
                    body=body, headers=HEADERS, content_type="text/html; charset=utf-8"
                ),
            )
            opened.page.goto(f"{exporter.url}bare")
            yield opened.page
            assert [said for said in opened.complaints if "favicon" not in said] == []
    finally:
        exporter.close()


@pytest.mark.real
def test_the_element_shows_the_figure_and_unfolds_the_parts(browser: Any) -> None:
    """By keyboard: Enter opens, Escape shuts and gives the focus back; it works under a policy
    that allows no inline style or script.
    """
    with page_with(browser, badge(answered())) as page:
        button = page.get_by_role("button", name="What this answer cost: 0.24 Wh · measured")
        details = page.locator("inferprint-badge [part=details]")
        assert not details.is_visible()
        button.focus()
        page.keyboard.press("Enter")
        details.wait_for(state="visible")
        page.locator('inferprint-badge [aria-expanded="true"]').wait_for()
        seen = details.inner_text()
        for words in (
            "0.15 Wh",
            "60 mWh",
            "30 mWh",
            "13.4 mg CO2e (12.0 to 15.0)",
            "a meter counted it",
        ):
            assert words in seen, seen
        page.keyboard.press("Escape")
        details.wait_for(state="hidden")
        page.locator('inferprint-badge [aria-expanded="false"]').wait_for()
        assert page.evaluate("document.activeElement.tagName") == "INFERPRINT-BADGE"


@pytest.mark.real
def test_the_element_takes_a_property_and_follows_its_attributes(browser: Any) -> None:
    """An object as its property; another figure on another ``show``; broken JSON shows what
    stands inside, and nothing known shows unknown.
    """
    with page_with(browser, "<inferprint-badge>as text</inferprint-badge>") as page:
        element = page.locator("inferprint-badge")
        assert element.inner_text() == "as text"
        element.evaluate("(badge, value) => { badge.footprint = value }", footprint_of(answered()))
        assert page.get_by_role("button").inner_text() == "0.24 Wh · measured"
        element.evaluate("badge => badge.setAttribute('show', 'cost')")
        assert page.get_by_role("button").inner_text() == "0.00006 EUR · measured"
        element.evaluate("badge => badge.setAttribute('footprint', '{broken')")
        assert element.inner_text() == "as text"
        element.evaluate("(badge, value) => { badge.footprint = value }", footprint_of(receipt()))
        assert page.get_by_role("button").inner_text() == "footprint unknown"


@pytest.mark.real
def test_the_element_never_makes_markup(browser: Any) -> None:
    """Of any text that a footprint holds, of wrong types too."""
    wire = dict.fromkeys(footprint_of(answered()), MARKUP) | {"cost": {"currency": MARKUP}}
    with page_with(browser, "<inferprint-badge></inferprint-badge>") as page:
        element = page.locator("inferprint-badge")
        element.evaluate("(badge, value) => { badge.footprint = value }", wire)
        assert MARKUP in page.locator("inferprint-badge [part=details]").text_content()
        assert element.evaluate("badge => badge.shadowRoot.querySelector('img')") is None


@contextmanager
def served(*command: str, url: str, env: dict[str, str]) -> Iterator[None]:
    """A program that serves a page there, until the end."""
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=REPO,
        env={**os.environ, "INFERPRINT_SOURCES": "cpu_model", **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while not _answers(url):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


def asked(page: Any, box: str, question: str) -> str:
    """Asks in a chat; the text of the badge that its answer wears."""
    page.locator(box).first.fill(question)
    page.keyboard.press("Enter")
    button = page.locator("inferprint-badge button").first
    button.wait_for(timeout=20_000)
    button.click()
    assert page.locator("inferprint-badge [part=details]").first.is_visible()
    return str(button.inner_text())


@pytest.mark.real
def test_the_answers_of_the_fastapi_chat_wear_a_badge(browser: Any, tmp_path: Path) -> None:
    """A question with markup is answered as text, with what it cost, and the live page that is
    mounted there lists it.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}/"
    command = ("-m", "uvicorn", "--app-dir", "examples", "06_chat:app", "--port", port)
    with served(*command, url=url, env={}), tab(browser, url) as opened:
        assert asked(opened.page, "#question", MARKUP).endswith("Wh · modelled")
        assert MARKUP in opened.page.locator("#answers").inner_text()
        opened.page.goto(url + "energy")
        opened.page.locator("#requests button").first.wait_for(timeout=10_000)
        assert "demo-model" in opened.page.locator("#requests").inner_text()


@pytest.mark.real
@pytest.mark.timeout(150)
def test_the_answers_of_the_gradio_chat_wear_a_badge(browser: Any) -> None:
    """The same in Gradio, whose chat cleans what a model says but shows the badge."""
    require_module("gradio", "pip install 'inferprint[large]'")
    port = _free_port()
    url = f"http://127.0.0.1:{port}/"
    env = {"GRADIO_SERVER_PORT": port, "GRADIO_ANALYTICS_ENABLED": "False"}
    with served("examples/07_gradio.py", "--serve", url=url, env=env):
        context = browser.new_context()
        page = context.new_page()
        page.goto(url, wait_until="domcontentloaded")
        assert asked(page, "textarea", "What does it cost?").endswith("Wh · modelled")
        context.close()
