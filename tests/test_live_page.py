"""The live page in a real Chromium: what a person sees, and what nobody may make it do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from browser import chromium, tab
from fake_tracker import FakeTracker, gpu_books
from inferprint import Factor, Range, Receipt
from inferprint.impacts import Carbon, Cost
from inferprint.readable import CARBON, MATERIALS, figure, in_wh
from inferprint.records import Tokens
from inferprint_exporters.live import LiveExporter
from receipts import component, receipt
from rig import SteadySource, live

pytestmark = pytest.mark.real

ANYWHERE = ("127.0.0.1", 0)
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
MOST_BYTES = 150_000
INTENSITY = Factor("grid_carbon_intensity", 56.0, "gCO2e/kWh", "a table of grids", "FRA", 2023)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@contextmanager
def served(
    tracker: FakeTracker | None = None, listen: tuple[str, int] = ANYWHERE
) -> Iterator[LiveExporter]:
    """An exporter that serves its page."""
    tracker = tracker or FakeTracker()
    exporter = LiveExporter(listen=listen)
    exporter.start(tracker)  # type: ignore[arg-type]
    try:
        yield exporter
    finally:
        exporter.close()


def ended(number: int = 1, **more: Any) -> Receipt:
    """A receipt of 100 J of which 20 J were waiting, that ended just now."""
    given = {
        "request_id": f"req-{number}",
        "tokens": Tokens(input=100, output=30),
        "parts": {"gpu": component(50, 25, 15), "cpu": component(5, 0, 5)},
        "carbon": Carbon(0.001, 0.0015, 0.002, operational_g=Range(0.001, 0.0015, 0.002)),
        "cost": Cost(1e-5, 2e-5, 3e-5, currency="EUR", electricity=Range(1e-5, 2e-5, 3e-5)),
        **more,
    }
    made = receipt(**given)
    return replace(made, started_at=datetime.now(UTC), duration_s=0.0, factors=(INTENSITY,))


def text_of(page: Any, selector: str) -> str:
    return str(page.locator(selector).inner_text())


def wait_for(page: Any, selector: str, words: str, timeout_s: float = 5.0) -> None:
    """Waits until an element has these words."""
    page.wait_for_function(
        "([selector, words]) => document.querySelector(selector)?.innerText.includes(words)",
        arg=[selector, words],
        timeout=timeout_s * 1000,
    )


def test_it_loads_from_its_own_server_alone_and_is_light(browser: Any) -> None:
    """All that it asks for comes from there, without a complaint, and weighs under 150 kB."""
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        wait_for(opened.page, "#link", "live")
        files = [reply for reply in opened.responses if not reply.url.endswith("/events")]
        assert {reply.status for reply in files} == {200}
        assert all(reply.url.startswith(str(exporter.url)) for reply in files)
        assert len(files) > 8
        assert sum(len(reply.body()) for reply in files) < MOST_BYTES
        assert opened.complaints == []


def test_without_a_request_it_says_so_and_shows_no_zero(browser: Any) -> None:
    """No data is told in words, and so is a machine on which nothing can be read."""
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        wait_for(opened.page, "#devices", "joules are unknown")
        assert "No request has ended yet" in text_of(opened.page, "#latest")
        assert "No request has ended yet" in text_of(opened.page, "#empty")
        assert "0 Wh" not in text_of(opened.page, "main")


def test_a_request_is_shown_within_a_second_of_its_end(browser: Any) -> None:
    """With a tracker on the system's clock, from the end of the request to its line."""
    exporter = LiveExporter(listen=ANYWHERE)
    with live(SteadySource(), exporters=[exporter]) as tracker:
        time.sleep(0.5)
        with tab(browser, str(exporter.url)) as opened:
            wait_for(opened.page, "#link", "live")
            for number in range(3):
                with tracker.request(f"model-{number}"):
                    time.sleep(0.2)
                began = time.monotonic()
                wait_for(opened.page, "#requests", f"model-{number}")
                assert time.monotonic() - began < 1.0


def test_the_first_look_answers_what_a_newcomer_asks(browser: Any) -> None:
    """What did it cost, how much of it was waiting, is it measured or modelled."""
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        exporter.export([ended()])
        wait_for(opened.page, "#latest", "waiting")
        seen = text_of(opened.page, "#latest")
        assert in_wh(Range.exactly(100.0)) in seen
        assert "20 % of it was waiting for requests" in seen
        assert "measured" in seen
        assert "a meter counted it" in seen


def test_a_receipt_unfolds_to_every_part_factor_and_source(browser: Any) -> None:
    """By keyboard: Enter on its line; the components, ranges and the factor are there, and
    nothing moves while it is read.
    """
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        exporter.export([ended(1)])
        wait_for(opened.page, "#requests", "llama-3-8b")
        button = opened.page.locator("#requests button").first
        button.focus()
        opened.page.keyboard.press("Enter")
        wait_for(opened.page, ".detail", "a table of grids")
        detail = text_of(opened.page, ".detail")
        assert button.get_attribute("aria-expanded") == "true"
        for words in ("gpu (measured)", "cpu (measured)", "FRA, 2023", "56 gCO2e/kWh"):
            assert words in detail
        for part in (Range.exactly(55.0), Range.exactly(25.0), Range.exactly(20.0)):
            assert in_wh(part) in detail
        assert figure(ended().carbon, CARBON, interval=True) in detail
        exporter.export([ended(2, model="another")])
        wait_for(opened.page, "#pause", "1 new request")
        assert "another" not in text_of(opened.page, "#requests")
        button.press("Enter")
        wait_for(opened.page, "#requests", "another")
        assert opened.complaints == []


def test_a_receipt_that_is_gone_says_so(browser: Any) -> None:
    """One that the server does not keep any more is told of, not shown empty."""
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        exporter.export([ended()])
        wait_for(opened.page, "#requests", "llama-3-8b")
        exporter._receipts.clear()
        opened.page.locator("#requests button").first.click()
        wait_for(opened.page, ".detail", "does not keep this receipt any more")


def test_markup_in_names_stays_text(browser: Any) -> None:
    """Of a model, a label, a flag and a factor, of 10 kB too: it is shown as what it is, runs
    nothing, and makes the page no wider than a phone.
    """
    hostile = replace(
        ended(1, model=MARKUP + "x" * 10_000, labels={MARKUP: MARKUP}),
        flags=frozenset({MARKUP}),
        factors=(replace(INTENSITY, name=MARKUP, source=MARKUP),),
    )
    tracker = FakeTracker()
    tracker.devices = {MARKUP: replace(gpu_books(), name=MARKUP)}
    tracker.in_flight, tracker.source_errors = {MARKUP: 1}, {(MARKUP, MARKUP): 1}
    phone = {"width": 390, "height": 844}
    with (
        served(tracker) as exporter,
        tab(browser, str(exporter.url), viewport=phone) as opened,
    ):
        exporter.export([hostile])
        wait_for(opened.page, "#requests", "<img src=x")
        opened.page.locator("#requests button").first.click()
        wait_for(opened.page, ".detail", MARKUP + "x" * 10_000)
        wait_for(opened.page, "#devices", "<img src=x")
        wait_for(opened.page, "#models", "<img src=x")
        assert opened.page.locator("main img, main script").count() == 0
        assert opened.complaints == []
        assert width_of(opened.page) <= phone["width"]


def width_of(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))


def test_it_fits_a_phone(browser: Any) -> None:
    """At 360 pixels nothing is cut off or has to be scrolled sideways, a receipt included."""
    small = {"width": 360, "height": 740}
    with served() as exporter, tab(browser, str(exporter.url), viewport=small) as opened:
        exporter.export([ended(number) for number in range(40)])
        wait_for(opened.page, "#requests", "llama-3-8b")
        opened.page.locator("#requests button").first.click()
        wait_for(opened.page, ".detail", "a table of grids")
        assert width_of(opened.page) <= small["width"]


def test_the_server_may_restart_while_the_page_is_open(browser: Any) -> None:
    """It says that the server is gone, comes back by itself, and begins anew."""
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        port = int(str(exporter.url).rsplit(":", 1)[1].strip("/"))
        exporter.export([ended(model="before")])
        wait_for(opened.page, "#requests", "before")
        exporter.close()
        wait_for(opened.page, "#link", "trying again", 8.0)
        with served(listen=("127.0.0.1", port)) as again:
            again.export([ended(model="after")])
            wait_for(opened.page, "#requests", "after", 10.0)
            wait_for(opened.page, "#link", "live")
            assert "before" not in text_of(opened.page, "#requests")
            assert "restarted" in text_of(opened.page, "#notices")


def test_a_stream_that_ends_is_taken_up_where_it_was(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams are short; over several of them no request is lost, and none listed twice."""
    monkeypatch.setattr("inferprint_exporters.live.app.STREAM_S", 0.5)
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        for number in range(20):
            exporter.export([ended(number, model=f"m{number:02}")])
            time.sleep(0.15)
        wait_for(opened.page, "#requests", "m19")
        names = opened.page.locator("#requests .model").all_inner_texts()
        assert names == [f"m{number:02}" for number in reversed(range(20))]
        assert text_of(opened.page, "#link") == "live"


def test_a_clock_that_is_an_hour_off_is_said(browser: Any) -> None:
    """The browser's clock is behind the server's: the page says by how much, and goes on."""
    with served() as exporter:
        context = browser.new_context()
        page = context.new_page()
        page.clock.set_fixed_time(time.time() - 3600)
        page.goto(exporter.url)
        exporter.export([ended()])
        wait_for(page, "#notices", "differ by 60 minutes")
        wait_for(page, "#requests", "llama-3-8b")
        context.close()


def test_a_source_that_is_lost_is_unknown_and_not_zero(browser: Any) -> None:
    """Of two devices one goes silent and its errors grow: the page names it within seconds and
    shows no watts for it, and the other goes on.
    """
    tracker = FakeTracker()
    tracker.devices = {"GPU-1": gpu_books(1000.0), "GPU-2": gpu_books(1000.0)}
    with served(tracker) as exporter, tab(browser, str(exporter.url)) as opened:
        wait_for(opened.page, "#devices", "GPU-2")
        for tick in range(70):
            tracker.devices["GPU-2"] = replace(gpu_books(1001.0 + tick), name="the other gpu")
            tracker.source_errors = {("nvml", "lost"): tick + 1}
            time.sleep(0.1)
        wait_for(opened.page, "#notices", "Not being read now: fake gpu")
        wait_for(opened.page, "#devices", "No new reading for")
        notices = text_of(opened.page, "#notices")
        assert "the other gpu" not in notices
        assert "300 W now" in text_of(opened.page, "#devices")
        exporter.export([])


def test_what_is_unknown_reads_unknown(browser: Any) -> None:
    """A receipt without figures, and one in a currency that nobody knows."""
    unknown = ended(1, parts={}, carbon=None, cost=None)
    odd = ended(2, cost=Cost(1.0, 2.0, 3.0, currency="XQZ"))
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        exporter.export([unknown])
        wait_for(opened.page, "#latest", "unknown")
        for mode in ("Energy", "Carbon", "Cost"):
            opened.page.get_by_role("radio", name=mode).check(force=True)
            wait_for(opened.page, "#latest .big", "unknown")
            assert text_of(opened.page, "#requests .cost") == "unknown"
        exporter.export([odd])
        wait_for(opened.page, "#requests", "2.0 XQZ")
        wait_for(opened.page, "#all", "XQZ")
        opened.page.locator("#requests button").last.click()
        wait_for(opened.page, ".detail", "unknown")
        assert "NaN" not in text_of(opened.page, "main")
        assert opened.complaints == []


def test_the_switch_changes_every_figure(browser: Any) -> None:
    """Energy, carbon and money, by keyboard."""
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        exporter.export([ended()])
        wait_for(opened.page, "#requests", "mWh")
        opened.page.get_by_role("radio", name="Energy").focus()
        opened.page.keyboard.press("ArrowRight")
        wait_for(opened.page, "#requests .cost", "CO2e")
        wait_for(opened.page, "#latest .big", "CO2e")
        opened.page.keyboard.press("ArrowRight")
        wait_for(opened.page, "#requests .cost", "EUR")
        wait_for(opened.page, "#all .big", "EUR")


def test_ten_thousand_receipts_are_paged_found_and_ordered(browser: Any) -> None:
    """A page that opens late gets them all, draws twenty-five, finds one among them and puts the
    costliest first.
    """
    with served() as exporter:
        exporter.export([ended(number, model=f"m{number}") for number in range(10_500)])
        dear = ended(0, model="needle", parts={"gpu": component(5e6)})
        exporter.export([dear, *(ended(number) for number in range(30))])
        with tab(browser, str(exporter.url)) as opened:
            wait_for(opened.page, "#where", "1 to 25 of 10,000", 15.0)
            assert opened.page.locator("#requests li").count() == 25
            opened.page.locator("#older").click()
            wait_for(opened.page, "#where", "26 to 50 of 10,000")
            wait_for(opened.page, "#requests", "needle")
            opened.page.locator("#find").fill("needle")
            wait_for(opened.page, "#where", "1 to 1 of 1")
            opened.page.locator("#find").fill("")
            opened.page.locator("#order").select_option("cost")
            wait_for(opened.page, "#requests li", "needle")
            assert opened.complaints == []


def test_it_can_be_used_without_eyes_or_mouse(browser: Any) -> None:
    """Landmarks, headings and names are there, every control has one, and news is told
    politely and seldom.
    """
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        exporter.export([ended()])
        wait_for(opened.page, "#requests", "llama-3-8b")
        tree = opened.page.locator("body").aria_snapshot()
        for role in ("banner", "main", "radio", "navigation", "searchbox", "combobox", "status"):
            assert role in tree, tree
        assert tree.count("heading") >= 8
        row = opened.page.get_by_role("button", name="llama-3-8b")
        assert "waiting" in row.inner_text()
        nameless = (
            "[...document.querySelectorAll('button')].filter(b => !b.innerText.trim()).length"
        )
        assert opened.page.evaluate(nameless) == 0
        wait_for(opened.page, "#said", "1 request. The latest: 27.8 mWh", 12.0)
        assert opened.page.locator("#said").get_attribute("aria-live") == "polite"


COUNT_FRAMES = """seconds => new Promise(done => {
    const frames = [];
    const count = now => {
        frames.push(now);
        if (now - frames[0] < seconds * 1000) requestAnimationFrame(count);
        else done({ fps: (frames.length - 1) / (now - frames[0]) * 1000,
                    late: frames.filter((at, n) => n && at - frames[n - 1] > 34).length });
    };
    requestAnimationFrame(count);
})"""


@pytest.mark.alone
@pytest.mark.timeout(90)
def test_it_keeps_its_frames_while_a_hundred_requests_a_second_end(
    browser: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames of five seconds with and without the load, on a page with 10,000 receipts: those
    under load are at most a tenth fewer. What an idle machine shows is printed.
    """
    tracker = FakeTracker()
    with served(tracker) as exporter:
        exporter.export([ended(number) for number in range(10_000)])
        with tab(browser, str(exporter.url), viewport={"width": 1280, "height": 900}) as opened:
            wait_for(opened.page, "#where", "10,000", 15.0)
            opened.page.wait_for_timeout(1500)
            quiet = opened.page.evaluate(COUNT_FRAMES, 5)
            with loaded(exporter, tracker, 100) as sent:
                busy = opened.page.evaluate(COUNT_FRAMES, 5)
            shown = opened.page.evaluate("document.querySelector('#all .quiet').innerText")
            assert opened.complaints == []
    with capsys.disabled():
        print(f"\nframes a second: quiet {quiet['fps']:.1f}, {sent()} receipts {busy['fps']:.1f}")
        print(f"late frames: quiet {quiet['late']}, busy {busy['late']}; {shown}")
    assert sent() >= 400
    assert busy["fps"] >= 0.9 * quiet["fps"]


@contextmanager
def loaded(exporter: LiveExporter, tracker: FakeTracker, rate: int) -> Iterator[Callable[[], int]]:
    """Receipts, so many a second, in a thread, and devices whose joules grow; gives how many
    receipts there were.
    """
    stop, count = threading.Event(), [0]

    def feed() -> None:
        began = time.monotonic()
        while not stop.wait(0.01):
            due = int((time.monotonic() - began) * rate) - count[0]
            exporter.export([ended(count[0] + number) for number in range(due)])
            count[0] += due
            tracker.devices = {f"GPU-{n}": gpu_books(1000.0 + 10 * count[0]) for n in range(8)}

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield lambda: count[0]
    finally:
        stop.set()
        thread.join()


FIGURES = [
    value * scale
    for value in (0.0, 1.0, 1.25, 2.5, 9.995, 9.985, 999.5, 999.9, 0.125, 4.04, 56.039, -3.3)
    for scale in (1e-13, 1e-7, 1e-3, 1.0, 36.0, 1e4, 1e9, 1e17)
]
WIDTHS = (0.0, 1e-4, 0.011, 0.05, 0.3, 0.99, 2.5)
UNITS = ("J", "Wh", "W", "L", "s", CARBON, MATERIALS, "EUR", "XQZ")


def test_figures_read_as_they_do_in_python(browser: Any, tmp_path: Path) -> None:
    """Every unit, size and width of interval gives the same text in both."""
    cases = [
        (Range.within(value, width), unit)
        for value in FIGURES
        for width in WIDTHS
        for unit in UNITS
    ]
    plain = [[[one.low, one.mid, one.high], unit] for one, unit in cases]
    script = """async cases => {
        const { figure, inWh } = await import("/static/badge.js");
        return cases.map(([range, unit]) => [figure(range, unit, true), inWh(range)]);
    }"""
    with served() as exporter, tab(browser, str(exporter.url)) as opened:
        found = opened.page.evaluate(script, plain)
    expected = [[figure(one, unit, interval=True), in_wh(one)] for one, unit in cases]
    different = [
        (case, js, python)
        for case, js, python in zip(cases, found, expected, strict=True)
        if js != python
    ]
    assert different[:20] == []
    assert len(cases) > 5000
