"""`inferprint top`: what is shown of a tracker or of a server's metrics, and how."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from rich.cells import cell_len
from rich.console import Console

from fake_tracker import FakeTracker, gpu_books, grid_intensity
from inferprint import Tracker
from inferprint.errors import ConfigError, ReadingError
from inferprint.impacts import Carbon, Cost
from inferprint.ranges import Range
from inferprint.records import Tokens
from inferprint.sources.findings import Finding, FindingStatus
from inferprint.testing import FakeClock, FakeSource
from inferprint_exporters.prometheus import PrometheusExporter
from inferprint_exporters.terminal.attached import metrics_url
from inferprint_exporters.terminal.families import Families
from inferprint_exporters.terminal.local import MOST_REQUESTS, Local
from inferprint_exporters.terminal.page import page, safe
from inferprint_exporters.terminal.view import DeviceRow, ModelRow, RequestRow, View, as_of_then
from receipts import component, receipt
from rig import by_hand
from screens import CODES

NOW = "2026-03-01T12:00:00+00:00"
EVIL = "\x1b]0;owned\x07\x1b[2Jm\r\nfake: 0 J\u202e\u009b31m\ud800"


def families(exporter: PrometheusExporter) -> Families:
    """The exporter's families as they are read from a page."""
    text = generate_latest(exporter.registry).decode()
    return Families(text_string_to_metric_families(text))


@pytest.fixture
def served() -> Iterator[tuple[FakeTracker, PrometheusExporter]]:
    """A server with a GPU, three receipts of two models, and two requests in flight."""
    fake, exporter = FakeTracker(), PrometheusExporter()
    fake.devices["GPU-1"] = gpu_books(idle_w=100.0)
    fake.in_flight = {"llama": 2}
    fake.reading_age_s = {"GPU-1": 0.05}
    fake.factors = grid_intensity()
    tracker: Tracker = fake  # type: ignore[assignment]
    exporter.start(tracker)
    gpu = {"gpu": component(6.0, 3.0, 1.0)}
    grams = Carbon(2.0, 2.0, 2.0, operational_g=Range.exactly(2.0))
    euros = Cost(0.5, 0.5, 0.5, currency="EUR")
    told = Tokens(5, 0, 7)
    exporter.export([receipt("llama", parts=gpu, carbon=grams, cost=euros, tokens=told)] * 2)
    exporter.export([receipt("qwen", parts={"gpu": component(total_j=40.0)}, outcome="error")])
    yield fake, exporter
    exporter.close()


def text_of(view: View, width: int = 80, height: int | None = None, **console: object) -> str:
    """The view as a terminal of this width gets it."""
    file = io.StringIO()
    lines = {"height": height} if height is not None else {}
    screen = Console(file=file, width=width, **lines, **console)  # type: ignore[arg-type]
    screen.print(page(view, screen, live=height is not None))
    return file.getvalue()


def view(**changes: object) -> View:
    """A demo with one device, one model and one request."""
    ten = {"active_j": 6.0, "idle_j": 3.0, "standing_j": 1.0}
    device = DeviceRow(
        id="GPU-1",
        name="a GPU",
        component="gpu",
        provenance="measured",
        power_w=300.0,
        idle_w=100.0,
        age_s=0.1,
        measured_j=13.0,
        unsplit_j=0.0,
        uncharged_j=1.0,
        other_processes_j=2.0,
        unattributed_j=0.0,
        closure_error=0.0,
        **ten,
    )
    model = ModelRow("llama", 1, 2, 10.0, unsplit_j=None, carbon_g=4.0, cost={"EUR": 0.5}, **ten)
    joules, grams = Range.exactly(5.0), Carbon(2.0, 2.0, 2.0)
    request = RequestRow("r-1", "llama", 1.5, 7, joules, grams, None, "measured")
    whole = View(NOW, "demo", devices=(device,), models=(model,), requests=(request,), in_flight=1)
    return replace(whole, **changes)  # type: ignore[arg-type]


# ---- reading metrics ---------------------------------------------------------------------


def test_models_are_read_from_the_metrics(served: tuple[FakeTracker, PrometheusExporter]) -> None:
    """Requests, joules and their parts, carbon, money and tokens, the dearest model first."""
    qwen, llama = families(served[1]).models()
    assert (llama.model, llama.requests, llama.in_flight, llama.output_tokens) == (
        "llama",
        2,
        2,
        14,
    )
    assert (llama.energy_j, llama.active_j, llama.idle_j, llama.standing_j) == (
        20.0,
        12.0,
        6.0,
        2.0,
    )
    assert (llama.carbon_g, llama.cost, llama.request_j) == (4.0, {"EUR": 1.0}, 10.0)
    assert llama.waiting == pytest.approx(0.4)
    assert (qwen.energy_j, qwen.wasted_j, qwen.in_flight) == (40.0, 40.0, 0)


def test_what_is_not_known_of_a_model_is_none(
    served: tuple[FakeTracker, PrometheusExporter],
) -> None:
    """Without a grid, a price, tokens or idle power there is no figure, and none of them is 0."""
    qwen = families(served[1]).models()[0]
    assert (qwen.carbon_g, dict(qwen.cost), qwen.output_tokens, qwen.waiting) == (
        None,
        {},
        None,
        None,
    )


def test_a_device_and_its_books_are_read_from_the_metrics(
    served: tuple[FakeTracker, PrometheusExporter],
) -> None:
    """Power, idle power, provenance, age and every term of the books."""
    (gpu,) = families(served[1]).devices()
    assert (gpu.id, gpu.component, gpu.provenance) == ("GPU-1", "gpu", "measured")
    assert (gpu.power_w, gpu.idle_w, gpu.age_s, gpu.measured_j) == (300.0, 100.0, 0.05, 1000.0)
    terms = (gpu.active_j, gpu.idle_j, gpu.standing_j, gpu.unsplit_j, gpu.uncharged_j)
    assert terms == (600.0, 100.0, 0.0, 0.0, 100.0)
    assert (gpu.other_processes_j, gpu.unattributed_j, gpu.closure_error) == (100.0, 100.0, 0.0)


def test_a_server_s_device_that_is_lost_has_no_power_of_now(
    served: tuple[FakeTracker, PrometheusExporter],
) -> None:
    """It was last read a minute ago: its power is unknown, its joules are not."""
    served[0].reading_age_s = {"GPU-1": 60.0}
    (gpu,) = families(served[1]).devices()
    assert (gpu.power_w, gpu.age_s, gpu.measured_j) == (None, 60.0, 1000.0)


def test_without_a_tracker_requests_in_flight_are_not_known() -> None:
    """An exporter that no tracker has started says nothing of requests: that is not none."""
    idle = families(PrometheusExporter())
    assert idle
    assert (idle.has_tracker, idle.in_flight, idle.devices(), idle.models()) == (
        False,
        None,
        (),
        (),
    )


def test_values_that_are_no_numbers_are_not_known() -> None:
    """NaN and infinity, which the text format can carry, are left out."""
    page = 'inferprint_device_energy_joules_total{device="d"} NaN\n'
    page += 'inferprint_requests_in_flight{model="m"} +Inf\nother_metric 3\n'
    assert not Families(text_string_to_metric_families(page))


@given(st.text(), st.floats(), st.dictionaries(st.sampled_from(["model", "device"]), st.text()))
def test_no_sample_is_too_strange_to_be_shown(
    name: str, value: float, labels: dict[str, str]
) -> None:
    """Whatever labels and values a page has, it is read and shown in the width there is."""
    metric = Metric("m", "", "gauge")
    for known in ("requests_in_flight", "energy_joules_total", "device_energy_joules_total", name):
        metric.add_sample("inferprint_" + known, labels, value)
    read = Families([metric])
    shown = view(devices=read.devices(), models=read.models(), in_flight=read.in_flight)
    json.dumps(shown.to_dict(), allow_nan=False)
    assert text_of(shown, 60)


@pytest.mark.parametrize(
    "given", ["localhost", "file:///etc/passwd", "http://", "http://h:x/", "", "http://a b/"]
)
def test_what_is_no_url_is_refused(given: str) -> None:
    """With what would be right."""
    with pytest.raises(ConfigError, match=r"a URL such as http://127\.0\.0\.1:9464/metrics"):
        metrics_url(given)


def test_a_url_without_a_path_gets_that_of_metrics() -> None:
    """As Prometheus itself takes a target; another path stays."""
    assert metrics_url("http://h:9464") == "http://h:9464/metrics"
    assert metrics_url("https://h/app/metrics") == "https://h/app/metrics"


# ---- a tracker of this process -----------------------------------------------------------


def test_requests_in_flight_are_listed_until_they_end() -> None:
    """The oldest first; one that has ended is in flight no more."""
    with by_hand() as rig:
        first, second = rig.tracker.request("a"), rig.tracker.request("b")
        first.__enter__()
        second.__enter__()
        assert rig.tracker.requests_in_flight() == [first, second]
        second.__exit__(None, None, None)
        assert rig.tracker.requests_in_flight() == [first]
        first.__exit__(None, None, None)
        assert rig.tracker.requests_in_flight() == []


def test_a_request_in_flight_has_what_it_used_so_far() -> None:
    """The row has the energy of its estimate, and carbon and money where factors are set."""
    metrics = PrometheusExporter()
    settings = {"carbon_intensity_g_per_kwh": 360.0, "electricity_price": 3.6, "currency": "EUR"}
    with by_hand(200.0, idle_w=100.0, exporters=[metrics], **settings) as rig:
        local = Local(rig.tracker, metrics, "demo")
        with rig.tracker.request("m") as request:
            request.add_tokens(output=3)
            rig.clock.advance(2.0)
            rig.tracker.sample()
            shown = local.take()
    assert shown.requests is not None
    (row,) = shown.requests
    assert row.energy_j is not None
    assert row.carbon_g is not None
    assert row.cost is not None
    assert (row.model, row.output_tokens, row.duration_s) == ("m", 3, 2.0)
    assert row.energy_j.mid == pytest.approx(400.0)
    assert row.carbon_g.mid == pytest.approx(0.04)
    assert row.cost.mid == pytest.approx(400.0 / 3.6e6 * 3.6)
    assert (shown.in_flight, shown.devices[0].power_w, shown.devices[0].name) == (
        1,
        200.0,
        "fake gpu",
    )


def test_of_very_many_requests_a_part_has_a_row_and_all_are_counted() -> None:
    """Each row has an estimate made of it, so there is a limit; the count has none."""
    metrics = PrometheusExporter()
    with by_hand(exporters=[metrics]) as rig:
        requests = [rig.tracker.request("m") for _ in range(MOST_REQUESTS + 5)]
        for request in requests:
            request._begin(owns_thread=False, detached=True)
        shown = Local(rig.tracker, metrics, "demo").take()
        for request in requests:
            request._end("ok")
    assert shown.in_flight == MOST_REQUESTS + 5
    assert len(shown.requests or ()) == MOST_REQUESTS
    assert f"and {MOST_REQUESTS + 4} more, which began later" in text_of(shown, height=10)
    assert "and 5 more, which began later" in text_of(shown)


def test_a_device_that_is_lost_has_no_power_of_now() -> None:
    """One source fails: its device's power is unknown and says since when, the other's is not,
    and the fault is counted.
    """
    clock = FakeClock()
    other, metrics = FakeSource(clock, device="gpu:1", watts=50.0), PrometheusExporter()
    with by_hand(clock=clock, sources=[other], exporters=[metrics]) as rig:
        clock.advance(1.0)
        rig.tracker.sample()
        other.fail(ReadingError("the GPU is lost", "lost"))
        clock.advance(10.0)
        rig.tracker.sample()
        shown = Local(rig.tracker, metrics, "devices").take()
    kept, lost = shown.devices
    assert (kept.power_w, lost.power_w, lost.measured_j) == (100.0, None, 50.0)
    assert sum(shown.faults.values()) >= 1
    text = text_of(shown)
    assert "last read 10 s ago" in text
    assert "lost" in text


@pytest.mark.parametrize(("status", "said"), [("modelled", False), ("unreadable", True)])
def test_what_cannot_be_read_is_named_with_what_mends_it(status: FindingStatus, said: bool) -> None:
    """A device that is there and cannot be read has no row: a note says why."""
    metrics = PrometheusExporter()
    with by_hand(exporters=[metrics]) as rig:
        rig.tracker.findings = [Finding("rapl", "", "cpu", "a CPU", status, "only root may")]
        notes = " ".join(Local(rig.tracker, metrics, "demo").take().notes)
    assert ("cpu a CPU: only root may. What mends it: inferprint doctor" in notes) is said
    assert ("No device can be read here" in notes) is said


# ---- the page ----------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_figure_is_there_at_every_width(width: int) -> None:
    """No line is wider than the terminal, and no figure is cut."""
    text = text_of(view(), width)
    assert max(map(cell_len, text.splitlines())) <= width
    for figure in ("300 W", "100 W", "measured", "13 J", "6 J", "3 J", "2 J", "10 J", "40%"):
        assert figure in text
    for figure in ("4 g CO2e", "0.5 EUR", "1.5 s", "5 J", "2 g CO2e", "llama", "GPU-1"):
        assert figure in text


def test_what_is_not_known_is_a_question_mark() -> None:
    """Never 0: not power, not joules, not carbon, not the number in flight."""
    nothing = view(
        devices=(DeviceRow("GPU-1"),), models=(ModelRow("m"),), requests=None, in_flight=None
    )
    for width in (40, 80, 200):
        text = text_of(nothing, width)
        figures = text.replace("never 0", "").replace("GPU-1", "").replace("12:00:00", "")
        assert not any(digit in figures for digit in "0123456789")
        assert "Requests in flight: ?" in text
        assert "unknown" in text


def test_before_there_is_anything_it_says_so() -> None:
    """No device, no model, no request: each section says that there is none yet."""
    text = text_of(View(NOW, "devices", in_flight=0))
    assert text.count("none yet") == 3


@pytest.mark.parametrize("width", [40, 80, 200])
def test_names_cannot_steer_the_terminal(width: int) -> None:
    """Escapes, controls, line breaks and directions in any name, label or note are left out."""
    device = replace(view().devices[0], id=EVIL, name=EVIL, provenance=EVIL)
    model = replace(view().models[0], model=EVIL, cost={EVIL: 1.0})
    request = replace(view().requests[0], request_id=EVIL, model=EVIL)  # type: ignore[index]
    hostile = view(
        devices=(device,),
        models=(model,),
        requests=(request,),
        address=EVIL,
        faults={EVIL: 1},
        notes=(EVIL,),
    )
    text = text_of(hostile, width)
    assert all(char.isprintable() for char in text.replace("\n", ""))
    assert width < 200 or "\nfake" not in text
    assert json.loads(json.dumps(hostile.to_dict()))["models"][0]["model"] == EVIL


def test_a_name_of_ten_kilobytes_takes_no_figure_s_place() -> None:
    """It is cut, in a table and in a list, and its figures are there."""
    for name in ("m" * 10_000, "模" * 10_000):
        long = view(models=(replace(view().models[0], model=name),), requests=())
        for width in (40, 80, 200):
            text = text_of(long, width)
            assert max(map(cell_len, text.splitlines())) <= width
            assert len(text) < 6_000
            assert "40%" in text
            assert "0.5 EUR" in text


def test_markup_in_a_name_is_text() -> None:
    """What rich takes for markup, a link or an emoji elsewhere, is shown as it is."""
    name = "[red]:smile:[/red]"
    assert name in text_of(
        view(models=(replace(view().models[0], model=name),)), force_terminal=True
    )


def test_without_colour_nothing_is_lost() -> None:
    """With colours off, the text is the same but for the codes, which have none of a colour."""
    plain = text_of(view())
    off = text_of(view(), force_terminal=True, no_color=True)
    on = text_of(view(), force_terminal=True, color_system="standard")
    assert CODES.sub("", off) == CODES.sub("", on) == plain
    assert "\x1b[32m" in on
    assert "\x1b[3" not in off


@pytest.mark.parametrize(("width", "height"), [(80, 30), (60, 40), (200, 24)])
def test_a_live_page_fits_its_terminal(width: int, height: int) -> None:
    """Of many requests, those that fit are shown, and the rest are counted."""
    many = view(requests=view().requests * 90, in_flight=120)  # type: ignore[operator]
    text = text_of(many, width, height)
    assert len(text.splitlines()) <= height
    shown = text.count("r-1")
    assert 0 < shown < 90
    assert f"and {120 - shown} more" in text


def test_a_live_page_of_many_devices_and_models_has_room_for_requests() -> None:
    """Sixteen GPUs and a hundred models on forty lines: each part has rows, and counts the rest."""
    gpus = tuple(replace(view().devices[0], id=f"GPU-{n}") for n in range(16))
    models = tuple(replace(view().models[0], model=f"model-{n}") for n in range(100))
    full = view(devices=gpus, models=models, requests=view().requests * 90, in_flight=90)  # type: ignore[operator]
    text = text_of(full, 80, 40)
    assert len(text.splitlines()) <= 40
    for part in ("and 10 more, --once shows all", "and 94 more, which used less"):
        assert part in text
    assert text.count("r-1") >= 1
    assert "GPU-15" in text_of(full)


def test_a_server_that_is_gone_leaves_its_totals_and_nothing_of_now() -> None:
    """Totals stay and are called stale; power and requests in flight are unknown."""
    gone = as_of_then(view(mode="metrics", requests=None), 65.0, "No answer: refused")
    assert (gone.devices[0].power_w, gone.models[0].in_flight, gone.in_flight) == (None, None, None)
    text = text_of(gone)
    assert "STALE: these are the figures of 65 s ago." in text
    assert "No answer: refused" in text
    assert "13 J" in text


def test_safe_keeps_what_people_read() -> None:
    """Letters of any script stay; runs of blanks are one; a long text ends in an ellipsis."""
    assert safe("  Llama\t3  模型 é ") == "Llama 3 模型 é"
    assert safe("x" * 300) == "x" * 199 + "…"
    assert safe("\x1b[31m") == "\ufffd[31m"
