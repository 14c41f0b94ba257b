"""Takes the pictures of docs/pictures: the live page during a demo load, in Chromium.

Usage: .venv/bin/python scripts/pictures.py, with chromium installed (apt-get install chromium).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
SETTINGS = {
    "INFERPRINT_LOCATION": "FRA",
    "INFERPRINT_PUE": "1.2",
    "INFERPRINT_ELECTRICITY_PRICE": "0.2",
    "INFERPRINT_CURRENCY": "EUR",
}
LOAD_S = 40.0
WIDE, PHONE = {"width": 1120, "height": 900}, {"width": 390, "height": 844}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    command = [sys.executable, "-m", "inferprint", "serve", "--demo", "--port", "0"]
    env = {**os.environ, **SETTINGS}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        time.sleep(LOAD_S)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=FLAGS
            )
            _take(browser, url, "live-light", "light", WIDE)
            _take(browser, url, "live-dark", "dark", WIDE)
            _take(browser, url, "live-phone", "light", PHONE)
            _take(browser, url, "receipt-light", "light", WIDE, unfold=True)
            with _chat() as chat:
                _badge(browser, chat, "badge-light", "light")
                _badge(browser, chat, "badge-dark", "dark")
            browser.close()
        server.terminate()


@contextmanager
def _chat() -> Iterator[str]:
    port = "9466"
    command = [sys.executable, "-m", "uvicorn", "--app-dir", "examples", "06_chat:app"]
    env = {**os.environ, **SETTINGS}
    with subprocess.Popen([*command, "--port", port], env=env, cwd=FOLDER.parent.parent) as server:
        time.sleep(5.0)
        yield f"http://127.0.0.1:{port}/"
        server.terminate()


def _badge(browser: Any, url: str, name: str, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 560, "height": 330}, color_scheme=scheme)
    page.goto(url)
    page.locator("#question").fill("What does this answer cost?")
    page.keyboard.press("Enter")
    page.locator("inferprint-badge button").click()
    page.screenshot(path=FOLDER / f"{name}.png")
    page.close()


def _take(
    browser: Any, url: str, name: str, scheme: str, size: dict[str, int], *, unfold: bool = False
) -> None:
    page = browser.new_page(viewport=size, color_scheme=scheme)
    page.goto(url)
    page.locator("#requests button").first.wait_for()
    page.wait_for_timeout(2500)
    if unfold:
        row = page.locator("#requests button:has(.outcome:empty)").first
        row.click()
        page.locator(".detail table").last.wait_for()
        row.evaluate("row => row.scrollIntoView()")
    page.screenshot(path=FOLDER / f"{name}.png")
    page.close()


if __name__ == "__main__":
    main()
