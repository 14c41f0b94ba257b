"""A real headless Chromium, for tests of what people see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support import require_module, require_program

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's browser, with an empty profile; it is ended at the end."""
    program = require_program("chromium", "apt-get install chromium")
    playwright = require_module("playwright", "pip install 'inferprint[test]'")
    assert playwright
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, headless=True, args=[*FLAGS])
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """One page, and what it complained of.

    Args:
        browser: as ``chromium`` gives it.
        options: of the page's context, such as ``color_scheme`` or ``viewport``.
    """

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.responses: list[Any] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("response", lambda response: self.responses.append(response))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@contextmanager
def tab(browser: Any, url: str, **options: Any) -> Iterator[Tab]:
    """A page that was opened at this address."""
    found = Tab(browser, **options)
    try:
        found.page.goto(url)
        yield found
    finally:
        found.context.close()
