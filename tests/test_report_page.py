"""The HTML page of a report, opened in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from receipts import component, receipt
from stores import INSTALL_CHROMIUM, day_of_load, printed, stored, url_of
from support import require_module, require_program

EVIL = "<script>document.title='bad'</script><img src=x onerror=\"document.title='bad'\">$\\frac{"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
# The contrast that WCAG 2.2 asks of text.
LEAST_CONTRAST = 4.5


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window, on an empty profile."""
    api = require_module("playwright.sync_api", "pip install playwright")
    program = require_program("chromium", INSTALL_CHROMIUM)
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS.split())
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page_of_a_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a day of load."""
    folder = tmp_path_factory.mktemp("page")
    day_of_load(url_of(folder))
    options = ("--format", "html", "--sensitivity", "--output", str(folder / "page.html"))
    printed(url_of(folder), *options)
    return folder / "page.html"


def test_the_page_needs_nothing_from_anywhere(page_of_a_day: Path) -> None:
    """No address but those of XML namespaces and of sources, which nothing loads."""
    text = page_of_a_day.read_text()
    assert not re.search(r"(src|href)=\"?(https?:|//|/)", text)
    assert "<script" not in text
    assert "@import" not in text


def test_every_figure_is_on_the_page(browser: Any, page_of_a_day: Path) -> None:
    """Headings, tables and the plots; nothing is loaded and nothing goes wrong."""
    page, told = browser.new_page(), []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: told.append(request.url))
    page.goto(page_of_a_day.as_uri())
    assert told == [page_of_a_day.as_uri()]
    assert page.title() == "Energy of AI requests"
    assert page.locator("figure svg").count() == 3
    headings = page.locator("h2").all_inner_texts()
    assert {"Totals", "By tenant", "Wasted", "SCI"} <= set(headings)
    text = page.inner_text("body")
    for name in ("llama-3-8b", "standing", "embodied", "gCO2e", "requests at a time"):
        assert name in text
    assert page.evaluate("document.body.scrollWidth <= window.innerWidth")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_read_in_light_and_in_dark(
    browser: Any, page_of_a_day: Path, scheme: str
) -> None:
    """Text, that of the plots too, stands out from its ground."""
    page = browser.new_page(color_scheme=scheme)
    page.goto(page_of_a_day.as_uri())
    for where, of in (("td", "color"), ("svg text", "fill")):
        text = page.locator(where).first.evaluate(f"e => getComputedStyle(e).{of}")
        contrast = _contrast(_rgb(text), (255, 255, 255) if scheme == "light" else (18, 18, 18))
        assert contrast >= LEAST_CONTRAST, (where, text)
    page.close()


def _rgb(css: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", css)[:3])


def _contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """By the formula of WCAG 2.2."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(rgb: tuple[int, ...]) -> float:
    parts = [n / 255 for n in rgb]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_no_name_does_anything_on_the_page(browser: Any, tmp_path: Path) -> None:
    """A model, a route and a tenant whose names are markup are shown as they are."""
    labels = {"route": EVIL, "tenant": EVIL}
    parts = {"gpu": component(1.0, 1.0, 1.0)}
    url = stored(tmp_path, [receipt(EVIL, labels=labels, parts=parts)])
    file = tmp_path / "page.html"
    printed(url, "--format", "html", "--output", str(file), "--compare", EVIL, f"tenant={EVIL}")
    page = browser.new_page()
    page.goto(file.as_uri())
    assert page.title() == "Energy of AI requests"
    assert page.locator("script, img").count() == 0
    assert page.locator("td", has_text="<script>document.title").count() >= 3
    page.close()
