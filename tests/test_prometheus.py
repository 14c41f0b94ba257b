"""The Prometheus exporter: what receipts, books and status become at a scrape."""

from __future__ import annotations

import dataclasses
import errno
import re
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Exemplar
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from fake_tracker import FakeTracker, gpu_books, grid_intensity
from inferprint import Config, ConfigError, Exporter, Tracker, __version__, flags
from inferprint.impacts import Carbon, Cost
from inferprint.integrations.engine_metrics import TokenCounts
from inferprint.receipt import Receipt
from inferprint.records import MeterBalance, Tokens
from inferprint.testing import FakeClock, FakeSource
from inferprint_exporters._histogram import Histogram
from inferprint_exporters._metrics_server import cannot_listen
from inferprint_exporters.prometheus import PrometheusExporter
from receipts import component, exactly, receipt
from support import REPO, run_python

MODEL = "llama-3-8b"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
DOCUMENTED = re.compile(r"^\| `(inferprint_\w+)` \| (\w+) \|([^|]*)\|([^|]*)\|", re.MULTILINE)

FORK = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads
sys.path.insert(0, "tests")
from fake_tracker import FakeTracker
from receipts import receipt
from inferprint.records import Tokens
from inferprint_exporters.prometheus import PrometheusExporter

def output_tokens():
    labels = {"model": "llama-3-8b", "type": "output"}
    return exporter.registry.get_sample_value("inferprint_tokens_total", labels)

exporter = PrometheusExporter(listen=("127.0.0.1", 0))
exporter.start(FakeTracker())
exporter.export([receipt(tokens=Tokens(output=1))])
parent_port = exporter.port
exporter._lock.acquire()
child = os.fork()
if not child:
    exporter.start(FakeTracker())
    exporter.export([receipt(tokens=Tokens(output=7))])
    print("child", output_tokens(), exporter.port not in (None, parent_port), flush=True)
    exporter.close()
    os._exit(0)
exporter._lock.release()
os.waitpid(child, 0)
print("parent", output_tokens())
exporter.close()
"""

joules = st.floats(0, 1e9)
parts = st.one_of(
    st.builds(component, joules, joules, st.one_of(st.none(), joules)),
    st.builds(component, standing_j=st.one_of(st.none(), st.floats(0, 1)), total_j=st.floats(1, 9)),
    st.just(component()),
)
receipts_of_any_kind = st.lists(
    st.builds(
        receipt,
        st.sampled_from(["a", "b"]),
        outcome=st.sampled_from(["ok", "error", "cancelled"]),
        parts=st.dictionaries(st.sampled_from(["gpu", "cpu", "dram"]), parts),
    )
)


def value(exporter: PrometheusExporter, name: str, /, **labels: str) -> float | None:
    """A sample at a scrape; None where there is none."""
    return exporter.registry.get_sample_value(name, labels)


def names(exporter: PrometheusExporter) -> set[str]:
    """The families of a scrape, without the `_total` of counters."""
    return {metric.name for metric in exporter.collect()}


def exemplars(exporter: PrometheusExporter) -> list[tuple[dict[str, str], float]]:
    """Label and value of every exemplar in a scrape."""
    return [
        (sample.exemplar.labels, sample.exemplar.value)
        for metric in exporter.collect()
        for sample in metric.samples
        if sample.exemplar
    ]


def started(tracker: FakeTracker, **settings: int) -> PrometheusExporter:
    """An exporter that reads this tracker and serves nothing."""
    exporter = PrometheusExporter(**settings)
    exporter.start(tracker)
    return exporter


@pytest.fixture
def exporter() -> PrometheusExporter:
    """An exporter without a tracker."""
    return PrometheusExporter()


@pytest.fixture
def serving() -> Iterator[PrometheusExporter]:
    """An exporter that serves on a free port."""
    exporter = PrometheusExporter.from_config(Config(prometheus_port=0))
    exporter.start(FakeTracker())
    yield exporter
    exporter.close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """An HTTP client that takes no proxy from the environment."""
    with httpx.Client(trust_env=False) as client:
        yield client


class TestRequests:
    def test_it_is_an_exporter(self, exporter: PrometheusExporter) -> None:
        """It has what a tracker asks of an exporter."""
        assert isinstance(exporter, Exporter)
        assert exporter.name == "prometheus"

    def test_energy_is_itemised_by_component_and_phase(self, exporter: PrometheusExporter) -> None:
        """Each part of each component is its own counter, summed over receipts."""
        spent = receipt(parts={"gpu": component(100, 20, 5), "cpu": component(7, 2, 1)})
        exporter.export([spent, spent])
        name, gpu = "inferprint_energy_joules_total", {"model": MODEL, "component": "gpu"}
        assert value(exporter, name, **gpu, phase="active") == 200
        assert value(exporter, name, **gpu, phase="idle") == 40
        assert value(exporter, name, **gpu, phase="standing") == 10
        assert value(exporter, name, model=MODEL, component="cpu", phase="active") == 14

    def test_energy_that_could_not_be_split_says_so(self, exporter: PrometheusExporter) -> None:
        """Where idle power was not known, active and idle are one sum: phase `unsplit`."""
        exporter.export([receipt(parts={"gpu": component(standing_j=5, total_j=105)})])
        name, gpu = "inferprint_energy_joules_total", {"model": MODEL, "component": "gpu"}
        assert value(exporter, name, **gpu, phase="unsplit") == 100
        assert value(exporter, name, **gpu, phase="standing") == 5
        assert value(exporter, name, **gpu, phase="active") is None
        assert value(exporter, name, **gpu, phase="idle") is None

    @given(receipts_of_any_kind)
    def test_phases_add_up_to_what_was_charged(self, many: list[Receipt]) -> None:
        """Over any receipts, the phases of a component sum to the receipts' totals of it."""
        exporter = PrometheusExporter()
        exporter.export(many)
        charged: dict[tuple[str, str], float] = {}
        for one in many:
            for name, part in one.energy.by_component.items():
                key = (one.model, name)
                charged[key] = charged.get(key, 0.0) + float(part.total_j or 0.0)
        for (model, name), joules_ in charged.items():
            phases = [
                value(
                    exporter, "inferprint_energy_joules_total", model=model, component=name, phase=p
                )
                for p in ("active", "idle", "standing", "unsplit")
            ]
            assert sum(figure or 0.0 for figure in phases) == pytest.approx(joules_)

    @given(receipts_of_any_kind)
    def test_counters_never_fall(self, many: list[Receipt]) -> None:
        """No receipt takes anything back."""
        exporter = PrometheusExporter()
        before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        for one in many:
            exporter.export([one])
            after = {
                (sample.name, tuple(sample.labels.items())): sample.value
                for metric in exporter.collect()
                for sample in metric.samples
            }
            assert all(after[key] >= figure for key, figure in before.items())
            before = after

    def test_what_is_not_known_has_no_series(self, exporter: PrometheusExporter) -> None:
        """A receipt of which only start and duration are known adds those and nothing else."""
        exporter.export([receipt()])
        assert names(exporter) == {
            "inferprint_build_info",
            "inferprint_model_first_request_timestamp_seconds",
            "inferprint_request_duration_seconds",
        }

    def test_a_models_first_request_is_remembered(self, exporter: PrometheusExporter) -> None:
        """The start of the first of a model's requests; later ones leave it."""
        first = receipt()
        later = dataclasses.replace(first, started_at=first.started_at + timedelta(hours=1))
        exporter.export([first, later])
        name = "inferprint_model_first_request_timestamp_seconds"
        assert value(exporter, name, model=MODEL) == first.started_at.timestamp()

    def test_zero_is_a_figure(self, exporter: PrometheusExporter) -> None:
        """Known to be 0 is not unknown: it has its series."""
        exporter.export([receipt(tokens=Tokens(output=0), parts={"gpu": component(0.0)})])
        assert value(exporter, "inferprint_tokens_total", model=MODEL, type="output") == 0
        labels = {"model": MODEL, "component": "gpu", "phase": "active"}
        assert value(exporter, "inferprint_energy_joules_total", **labels) == 0

    def test_tokens_are_counted_by_type(self, exporter: PrometheusExporter) -> None:
        """Types that were told are summed; the others have no series."""
        exporter.export([receipt(tokens=Tokens(input=100, output=30))] * 2)
        name = "inferprint_tokens_total"
        assert value(exporter, name, model=MODEL, type="input") == 200
        assert value(exporter, name, model=MODEL, type="output") == 60
        assert value(exporter, name, model=MODEL, type="cached_input") is None

    @pytest.mark.parametrize("outcome", ["error", "cancelled"])
    def test_energy_of_lost_requests_is_wasted(
        self, exporter: PrometheusExporter, outcome: str
    ) -> None:
        """What failed or was cancelled counts as wasted besides; what went well does not."""
        exporter.export([receipt(outcome=outcome, parts={"gpu": component(70, 10)})])
        exporter.export([receipt(outcome="ok", parts={"gpu": component(1000)})])
        name = "inferprint_wasted_energy_joules_total"
        assert value(exporter, name, model=MODEL, outcome=outcome) == 80
        assert value(exporter, name, model=MODEL, outcome="ok") is None

    def test_what_ran_elsewhere_is_in_no_measured_total(self, exporter: PrometheusExporter) -> None:
        """A hosted call adds its energy to one family of its own, and nothing to any other."""
        hosted = dataclasses.replace(
            receipt(
                parts={"gpu": component(70, 10)},
                tokens=Tokens(1, None, 1),
                carbon=Carbon(1, 1, 1, operational_g=exactly(1.0)),
            ),
            flags=frozenset({flags.HOSTED}),
        )
        exporter.export([hosted, hosted, dataclasses.replace(receipt(), flags=hosted.flags)])
        name = "inferprint_hosted_energy_joules_total"
        assert value(exporter, name, model=MODEL) == 160
        assert names(exporter) == {"inferprint_build_info", name.removesuffix("_total")}

    def test_carbon_water_and_cost_are_summed(self, exporter: PrometheusExporter) -> None:
        """Each known part of the footprint has its counter."""
        spent = receipt(
            carbon=Carbon(1, 2, 3, operational_g=exactly(1.5), embodied_g=exactly(0.5)),
            water=exactly(0.25),
            cost=Cost(0.1, 0.2, 0.3, currency="EUR"),
        )
        exporter.export([spent, spent])
        carbon = "inferprint_carbon_grams_total"
        assert value(exporter, carbon, model=MODEL, scope="operational") == 3.0
        assert value(exporter, carbon, model=MODEL, scope="embodied") == 1.0
        assert value(exporter, "inferprint_water_liters_total", model=MODEL) == 0.5
        assert value(exporter, "inferprint_cost_total", model=MODEL, currency="EUR") == 0.4

    def test_embodied_carbon_that_is_not_known_is_absent(
        self, exporter: PrometheusExporter
    ) -> None:
        """Operational carbon alone does not make embodied carbon 0."""
        exporter.export([receipt(carbon=Carbon(1, 1, 1, operational_g=exactly(1.0)))])
        name = "inferprint_carbon_grams_total"
        assert value(exporter, name, model=MODEL, scope="operational") == 1.0
        assert value(exporter, name, model=MODEL, scope="embodied") is None

    def test_a_negative_price_adds_nothing(self, exporter: PrometheusExporter) -> None:
        """A counter that fell would read as a restart, so a negative cost is left out."""
        exporter.export([receipt(cost=Cost(0.5, 0.5, 0.5, currency="EUR"))])
        exporter.export([receipt(cost=Cost(-0.2, -0.2, -0.2, currency="EUR"))])
        assert value(exporter, "inferprint_cost_total", model=MODEL, currency="EUR") == 0.5


class TestHistograms:
    def test_a_value_on_a_bound_is_in_its_bucket(self) -> None:
        """`le` is less or equal, and counts are cumulative up to `+Inf`."""
        histogram = Histogram((1.0, 10.0))
        for seen in (0.5, 1.0, 1.5, 10.0, 99.0):
            histogram.observe(seen)
        assert histogram.buckets() == [("1.0", 2), ("10.0", 4), ("+Inf", 5)]
        assert histogram.sum == 112.0

    def test_a_copy_stands_still(self) -> None:
        """A scrape that is being written does not see what is observed meanwhile."""
        histogram = Histogram((1.0,))
        histogram.observe(0.5, ("request_id", "first", 0.0))
        copy = histogram.copy()
        histogram.observe(0.7, ("request_id", "second", 0.0))
        assert copy.sum == 0.5
        assert copy.buckets()[0] == ("1.0", 1, Exemplar({"request_id": "first"}, 0.5, 0.0))

    def test_energy_buckets_go_from_a_millijoule_to_100_kilojoules(
        self, exporter: PrometheusExporter
    ) -> None:
        """From the smallest classifier to the longest agent, requests fall in a bucket."""
        exporter.export([receipt(parts={"gpu": component(250.0)})])
        bounds = [
            float(sample.labels["le"])
            for metric in exporter.collect()
            for sample in metric.samples
            if sample.name == "inferprint_request_energy_joules_bucket"
        ]
        assert (bounds[0], bounds[-2], bounds[-1]) == (0.001, 100_000.0, float("inf"))
        assert bounds == sorted(bounds)

    def test_durations_are_observed_by_outcome(self, exporter: PrometheusExporter) -> None:
        """Duration has the outcome; time to first token only the model, where it is known."""
        exporter.export([receipt(duration_s=2.0, time_to_first_token_s=0.3)])
        exporter.export([receipt(duration_s=4.0, outcome="error")])
        duration = "inferprint_request_duration_seconds_sum"
        first_token = "inferprint_time_to_first_token_seconds"
        assert value(exporter, duration, model=MODEL, outcome="ok") == 2.0
        assert value(exporter, duration, model=MODEL, outcome="error") == 4.0
        assert value(exporter, first_token + "_sum", model=MODEL) == 0.3
        assert value(exporter, first_token + "_count", model=MODEL) == 1

    def test_errors_of_quotes_are_observed(self, exporter: PrometheusExporter) -> None:
        """What quoted requests used over their quotes; the others have none."""
        exporter.export([receipt(quote_error_ratio=ratio) for ratio in (0.97, 1.2, None)])
        samples = {
            sample.labels.get("le", sample.name): sample.value
            for metric in exporter.collect()
            if metric.name == "inferprint_quote_error_ratio"
            for sample in metric.samples
        }
        assert (samples["0.95"], samples["1.0"], samples["1.25"], samples["+Inf"]) == (0, 1, 2, 2)
        assert samples["inferprint_quote_error_ratio_sum"] == pytest.approx(2.17)

    def test_a_bucket_keeps_its_latest_request(self, exporter: PrometheusExporter) -> None:
        """Each energy bucket points to the request that fell in it last."""
        for id_, spent in (("first", 300.0), ("second", 310.0), ("small", 0.3)):
            exporter.export([receipt(request_id=id_, parts={"gpu": component(spent)})])
        assert exemplars(exporter) == [
            ({"request_id": "small"}, 0.3),
            ({"request_id": "second"}, 310.0),
        ]

    def test_a_trace_wins_over_the_request(self, exporter: PrometheusExporter) -> None:
        """A request with a `trace_id` label is found in the traces."""
        labels = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
        exporter.export([receipt(labels=labels, parts={"gpu": component(1.0)})])
        assert exemplars(exporter) == [(labels, 1.0)]

    @pytest.mark.parametrize("id_", ["x" * 119, "čas", "\ud800"])
    def test_an_id_that_openmetrics_cannot_carry_is_left_out(
        self, exporter: PrometheusExporter, id_: str
    ) -> None:
        """A request is counted without exemplar where its id would break the whole scrape."""
        exporter.export([receipt(request_id=id_, parts={"gpu": component(1.0)})])
        assert exemplars(exporter) == []
        name = "inferprint_request_energy_joules_count"
        assert value(exporter, name, model=MODEL, outcome="ok") == 1

    def test_the_classic_format_has_no_exemplars(self, exporter: PrometheusExporter) -> None:
        """Exemplars are in OpenMetrics only; the older text format cannot carry them."""
        exporter.export([receipt(request_id="needle", parts={"gpu": component(1.0)})])
        assert b"needle" in generate_openmetrics(exporter.registry)
        assert b"needle" not in generate_latest(exporter.registry)


class TestLabels:
    def test_models_past_the_cap_are_other(self) -> None:
        """The number of series is bounded, and no energy is lost by it."""
        exporter = PrometheusExporter(max_label_values=2)
        exporter.export([receipt(f"model-{i}", tokens=Tokens(output=1)) for i in range(10)])
        exporter.export([receipt("model-0", tokens=Tokens(output=1))])
        name = "inferprint_tokens_total"
        assert value(exporter, name, model="model-0", type="output") == 2
        assert value(exporter, name, model="model-2", type="output") is None
        assert value(exporter, name, model="other", type="output") == 8

    def test_in_flight_and_errors_are_capped_too(self) -> None:
        """Whatever comes from outside is bounded: models in flight, sources and kinds."""
        tracker = FakeTracker()
        tracker.in_flight = {"a": 1, "b": 2, "c": 3}
        tracker.source_errors = {("nvml", "lost"): 1, ("x", "y"): 2, ("z", "w"): 3}
        exporter = started(tracker, max_label_values=1)
        assert value(exporter, "inferprint_requests_in_flight", model="other") == 5
        errors = "inferprint_source_errors_total"
        assert value(exporter, errors, source="nvml", kind="lost") == 1
        assert value(exporter, errors, source="other", kind="other") == 5

    @given(st.text(st.characters(), max_size=20))
    @example("\ud800")
    def test_any_model_name_can_be_scraped(self, model: str) -> None:
        """No name breaks a scrape in either format: quotes, newlines, lone surrogates."""
        exporter = PrometheusExporter()
        exporter.export([receipt(model, parts={"gpu": component(1.0)})])
        generate_latest(exporter.registry)
        text = generate_openmetrics(exporter.registry).decode()
        shown = model.encode("utf-8", "replace").decode()
        models = {
            sample.labels["model"]
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if "model" in sample.labels
        }
        assert models == {shown}


class TestTracker:
    def test_devices_come_from_the_books(self) -> None:
        """Energy, power and what is not charged, by device."""
        tracker = FakeTracker()
        tracker.devices = {"GPU-1": gpu_books(1000.0), "GPU-2": gpu_books(50.0)}
        exporter = started(tracker)
        reading = {"device": "GPU-1", "component": "gpu", "provenance": "measured"}
        assert value(exporter, "inferprint_device_energy_joules_total", **reading) == 1000
        assert value(exporter, "inferprint_device_power_watts", **reading) == 300
        for name in ("standing", "other_processes", "unattributed"):
            metric = f"inferprint_{name}_energy_joules_total"
            assert value(exporter, metric, device="GPU-1") == 100
            assert value(exporter, metric, device="GPU-2") == 5

    def test_the_books_are_served(self) -> None:
        """What requests were charged, what nobody was, and how far the books are from closing:
        with other processes and what nothing explains it is all that the device used.
        """
        tracker = FakeTracker()
        books = dataclasses.replace(gpu_books(1000.0), requests_unsplit_j=200.0)
        tracker.devices = {"GPU-1": books}
        exporter = started(tracker)
        charged = {
            phase: value(
                exporter,
                "inferprint_device_charged_energy_joules_total",
                device="GPU-1",
                phase=phase,
            )
            for phase in ("active", "idle", "standing", "unsplit")
        }
        assert charged == {"active": 400.0, "idle": 100.0, "standing": 0.0, "unsplit": 200.0}
        uncharged = "inferprint_device_uncharged_idle_energy_joules"
        assert value(exporter, uncharged, device="GPU-1") == 100
        assert value(exporter, "inferprint_books_closure_error_ratio", device="GPU-1") == 0
        tracker.devices = {"GPU-1": dataclasses.replace(books, unattributed_j=50.0)}
        error = value(exporter, "inferprint_books_closure_error_ratio", device="GPU-1")
        assert error == pytest.approx(0.05)

    def test_a_last_digit_that_falls_is_no_restart(self) -> None:
        """What was charged is a difference of sums: rounding never makes the counter fall."""
        tracker = FakeTracker()
        tracker.devices = {"GPU-1": gpu_books(1000.0)}
        exporter = started(tracker)
        name, labels = "inferprint_device_charged_energy_joules_total", {"device": "GPU-1"}
        assert value(exporter, name, **labels, phase="active") == 600.0
        tracker.devices = {"GPU-1": gpu_books(1000.0 - 1e-9)}
        assert value(exporter, name, **labels, phase="active") == 600.0
        tracker.devices = {"GPU-1": gpu_books(1100.0)}
        assert value(exporter, name, **labels, phase="active") == 660.0

    def test_idle_power_is_served_where_it_is_known(self) -> None:
        """The watts that tell active from idle; absent, not 0, before an idle stretch was seen."""
        tracker = FakeTracker()
        tracker.devices = {"GPU-1": gpu_books(idle_w=121.7), "GPU-2": gpu_books()}
        exporter = started(tracker)
        name = "inferprint_device_idle_power_watts"
        assert value(exporter, name, device="GPU-1") == 121.7
        assert value(exporter, name, device="GPU-2") is None

    def test_power_before_the_first_window_is_absent(self) -> None:
        """A device that has not been read twice has no power, not 0 W."""
        tracker = FakeTracker()
        tracker.devices = {"GPU-1": gpu_books(power_w=None)}
        assert "inferprint_device_power_watts" not in names(started(tracker))

    def test_the_status_is_served(self) -> None:
        """Requests in flight, faults, losses and the tracker's own CPU time."""
        tracker = FakeTracker()
        tracker.in_flight = {MODEL: 3}
        tracker.source_errors = {("nvml", "lost"): 4}
        tracker.dropped_receipts = {"store": 5}
        tracker.self_cpu_s = 0.25
        tracker.reading_age_s = {"GPU-1": 12.5}
        exporter = started(tracker)
        assert value(exporter, "inferprint_device_reading_age_seconds", device="GPU-1") == 12.5
        assert value(exporter, "inferprint_requests_in_flight", model=MODEL) == 3
        assert value(exporter, "inferprint_source_errors_total", source="nvml", kind="lost") == 4
        assert value(exporter, "inferprint_dropped_receipts_total", exporter="store") == 5
        assert value(exporter, "inferprint_self_cpu_seconds_total") == 0.25

    def test_the_grid_names_its_source(self) -> None:
        """The intensity in use, what it holds for and who says so; absent while unknown."""
        tracker = FakeTracker()
        exporter = started(tracker)
        name = "inferprint_grid_carbon_intensity_grams_per_kwh"
        assert name not in names(exporter)
        tracker.factors = grid_intensity()
        assert value(exporter, name, location="FRA", source="a table") == 56.039

    def test_the_version_is_told(self, exporter: PrometheusExporter) -> None:
        """`build_info` is 1 with the version as label, before a tracker starts too."""
        assert value(exporter, "inferprint_build_info", version=__version__) == 1

    def test_what_was_gathered_outlives_the_tracker(self) -> None:
        """After the end the totals can still be scraped, or pushed by a batch job."""
        tracker = FakeTracker()
        tracker.devices = {"GPU-1": gpu_books()}
        exporter = started(tracker)
        exporter.export([receipt(tokens=Tokens(output=7))])
        exporter.close()
        assert value(exporter, "inferprint_tokens_total", model=MODEL, type="output") == 7
        assert "inferprint_device_energy_joules" in names(exporter)


class TestServing:
    def test_it_serves_from_start_to_close(
        self, serving: PrometheusExporter, client: httpx.Client
    ) -> None:
        """On port 0 it takes a free one and tells which; after `close` nobody listens there."""
        serving.export([receipt(tokens=Tokens(output=7))])
        url = f"http://127.0.0.1:{serving.port}/metrics"
        answer = client.get(url)
        assert answer.status_code == 200
        assert 'inferprint_tokens_total{model="llama-3-8b",type="output"} 7.0' in answer.text
        serving.close()
        assert serving.port is None
        with pytest.raises(httpx.ConnectError):
            client.get(url)

    def test_openmetrics_is_served_to_those_who_ask(
        self, serving: PrometheusExporter, client: httpx.Client
    ) -> None:
        """The format follows the Accept header, as Prometheus sends it."""
        url = f"http://127.0.0.1:{serving.port}/metrics"
        assert client.get(url, headers={"Accept": OPENMETRICS}).text.endswith("# EOF\n")
        assert "# EOF" not in client.get(url).text

    def test_a_port_in_use_is_a_clear_error(self, serving: PrometheusExporter) -> None:
        """The error names the setting and the command that shows who has the port."""
        assert serving.port is not None
        late = PrometheusExporter.from_config(Config(prometheus_port=serving.port))
        with pytest.raises(ConfigError) as caught:
            late.start(FakeTracker())
        assert (caught.value.field, caught.value.given) == ("prometheus_port", serving.port)
        assert f"ss -ltnp 'sport = :{serving.port}'" in caught.value.mend
        late.close()

    def test_an_address_of_another_machine_is_a_clear_error(self) -> None:
        """An address that is not ours (reserved by RFC 5737) blames the host, not the port."""
        config = Config(prometheus_host="192.0.2.1", prometheus_port=0)
        with pytest.raises(ConfigError) as caught:
            PrometheusExporter.from_config(config).start(FakeTracker())
        assert (caught.value.field, caught.value.given) == ("prometheus_host", "192.0.2.1")

    @pytest.mark.parametrize(
        ("error", "field"),
        [
            (PermissionError(errno.EACCES, "Permission denied"), "prometheus_port"),
            (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "prometheus_host"),
        ],
    )
    def test_the_setting_at_fault_is_named(self, error: OSError, field: str) -> None:
        """A port that needs more rights blames the port, a name without address the host."""
        blamed = cannot_listen(80, "metrics.invalid", error)
        assert blamed.field == field
        assert blamed.mend

    def test_a_server_can_be_started_and_closed_by_hand(
        self, exporter: PrometheusExporter, client: httpx.Client
    ) -> None:
        """Without settings the user serves when and where they like; closing twice is fine."""
        server = exporter.start_http_server(port=0)
        assert client.get(f"http://127.0.0.1:{server.port}/").status_code == 200
        server.close()
        server.close()

    async def test_it_mounts_in_a_web_application(self, exporter: PrometheusExporter) -> None:
        """The ASGI application serves the same, with the format that is asked for."""
        exporter.export([receipt(tokens=Tokens(output=7))])
        transport = httpx.ASGITransport(app=exporter.asgi_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            answer = await client.get("/metrics", headers={"Accept": OPENMETRICS})
        assert 'inferprint_tokens_total{model="llama-3-8b",type="output"} 7.0' in answer.text
        assert answer.text.endswith("# EOF\n")

    def test_it_joins_a_registry_that_is_given(self) -> None:
        """Metrics can stand beside an application's own."""
        registry = CollectorRegistry()
        exporter = PrometheusExporter(registry=registry)
        assert exporter.registry is registry
        assert registry.get_sample_value("inferprint_build_info", {"version": __version__}) == 1

    def test_scrapes_during_export_are_consistent(self, exporter: PrometheusExporter) -> None:
        """A scrape sees whole receipts: as many energies as durations, and none is lost."""
        batch = [receipt(parts={"gpu": component(1.0)})] * 50
        writers = [
            threading.Thread(target=lambda: [exporter.export(batch) for _ in range(40)])
            for _ in range(2)
        ]
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            metrics = {metric.name: metric for metric in exporter.collect()}
            counts = {
                sample.value
                for name, metric in metrics.items()
                for sample in metric.samples
                if sample.name == f"{name}_count"
            }
            assert len(counts) <= 1
        for writer in writers:
            writer.join()
        name = "inferprint_energy_joules_total"
        assert value(exporter, name, model=MODEL, component="gpu", phase="active") == 4000


class TestFork:
    def test_a_child_counts_for_itself(self) -> None:
        """Forked while its lock is held, the exporter starts anew in the child: no deadlock, no
        total of the parent's, a port of its own, and the parent's port left to the parent.
        """
        done = run_python("-c", FORK)
        assert (done.stdout.split(), done.stderr) == (["child", "7.0", "True", "parent", "1.0"], "")


class TestWithTracker:
    def test_metrics_and_receipts_tell_the_same(self) -> None:
        """Through a whole tracker: what is scraped is what receipt and books say."""
        clock, exporter = FakeClock(), PrometheusExporter()
        source = FakeSource(clock, watts=100.0)
        config = Config(carbon_intensity_g_per_kwh=56.0, pue=1.2)
        with Tracker(config, sources=[source], exporters=[exporter], clock=clock) as tracker:
            tracker.sample()
            clock.advance(5.0)
            tracker.sample()
            source.set_power(300.0)
            with tracker.request(model="m") as request:
                clock.advance(2.0)
                request.add_tokens(output=50)
                assert value(exporter, "inferprint_requests_in_flight", model="m") == 1
            tracker.flush()
            settled = request.receipt()
        energy = exporter.registry.get_sample_value
        charged = [
            energy("inferprint_energy_joules_total", {"model": "m", "component": "gpu", "phase": p})
            for p in ("active", "idle", "standing")
        ]
        assert settled.energy.total_j is not None
        assert sum(part or 0.0 for part in charged) == pytest.approx(float(settled.energy.total_j))
        assert charged[:2] == pytest.approx([400.0, 200.0])
        assert settled.carbon is not None
        carbon = value(exporter, "inferprint_carbon_grams_total", model="m", scope="operational")
        assert carbon == pytest.approx(float(settled.carbon))
        device = {"device": "gpu:0", "component": "gpu", "provenance": "measured"}
        measured_j = tracker.balance().devices["gpu:0"].measured_j
        assert measured_j == pytest.approx(1100.0)
        assert value(exporter, "inferprint_device_energy_joules_total", **device) == measured_j

    def test_a_device_that_is_lost_grows_old(self) -> None:
        """Its last reading is as old as it is, whatever the source does now."""
        clock, exporter = FakeClock(), PrometheusExporter()
        source = FakeSource(clock, watts=100.0)
        name = "inferprint_device_reading_age_seconds"
        with Tracker(sources=[source], exporters=[exporter], clock=clock) as tracker:
            tracker.sample()
            assert value(exporter, name, device="gpu:0") == 0
            source.fail(OSError("gone"))
            clock.advance(90.0)
            tracker.sample()
            assert value(exporter, name, device="gpu:0") == 90
            source.recover()
            tracker.sample()
            assert value(exporter, name, device="gpu:0") == 0

    def test_a_configured_port_in_use_stops_the_start(self, serving: PrometheusExporter) -> None:
        """Named in the settings and unable to listen, it is an error of `start`, not a log line."""
        assert serving.port is not None
        config = Config(exporters=("prometheus",), prometheus_port=serving.port)
        clock = FakeClock()
        tracker = Tracker(config, sources=[FakeSource(clock)], clock=clock)
        with pytest.raises(ConfigError, match="prometheus_port"):
            tracker.start()


class TestDocumentation:
    def test_every_family_is_documented(self, exporter: PrometheusExporter) -> None:
        """docs/metrics.md has exactly the families that can be served: name, type and unit."""
        rows = DOCUMENTED.findall((REPO / "docs" / "metrics.md").read_text())
        suffix = {"counter": "_total"}
        served = {
            (metric.name + suffix.get(metric.type, ""), metric.type, metric.unit)
            for metric in exporter.describe()
        }
        assert sorted((name, kind, unit.strip()) for name, kind, _, unit in rows) == sorted(served)

    def test_documented_labels_are_those_served(self) -> None:
        """Each family's labels, on a scrape that has them all, are the ones in the table."""
        tracker = FakeTracker()
        tracker.factors = grid_intensity()
        tracker.devices = {"GPU-1": gpu_books(idle_w=50.0)}
        tracker.meters = {"wall:ipmi": MeterBalance("BMC", "measured", 2.0, 1.0)}
        tracker.reading_age_s = {"GPU-1": 0.1}
        tracker.in_flight = {MODEL: 1}
        tracker.source_errors = {("nvml", "lost"): 1}
        tracker.dropped_receipts = {"store": 1}
        exporter = started(tracker)
        for number in (0, 1, 1):
            counts = TokenCounts("vllm", {MODEL: Tokens(number, number, number)})
            exporter._engine_totals.take(counts, {"gpu": ("measured", 0.0)})
        hosted = receipt(parts={"gpu": component(1.0)})
        exporter.export(
            [
                dataclasses.replace(hosted, flags=frozenset({flags.HOSTED})),
                receipt(
                    outcome="error",
                    time_to_first_token_s=0.1,
                    tokens=Tokens(output=1),
                    parts={"gpu": component(1.0)},
                    carbon=Carbon(1, 1, 1, operational_g=exactly(1.0)),
                    water=exactly(1.0),
                    cost=Cost(1, 1, 1, currency="EUR"),
                    quote_error_ratio=1.0,
                ),
            ]
        )
        served = {
            sample.name.removesuffix("_bucket"): set(sample.labels) - {"le"}
            for metric in exporter.collect()
            for sample in metric.samples
            if not sample.name.endswith(("_sum", "_count"))
        }
        rows = DOCUMENTED.findall((REPO / "docs" / "metrics.md").read_text())
        documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels, _ in rows}
        assert served == documented
