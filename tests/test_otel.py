"""The OpenTelemetry exporter: through the real SDK, in memory and to a receiver of OTLP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from inferprint import Config, ConfigError, MissingExtra, Tokens
from inferprint.delivery import load_exporters
from inferprint.tracing import trace_labels
from inferprint_exporters.otel import OtelExporter, meter_views, span_attributes
from receipts import component, receipt
from rig import by_hand
from support import run_python

Points = dict[tuple[tuple[str, Any], ...], Any]


class Sdk:
    """The SDK, keeping in memory what it is told."""

    def __init__(self, **settings: Any) -> None:
        self.reader, self.spans = InMemoryMetricReader(), InMemorySpanExporter()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        meters = MeterProvider([self.reader], views=meter_views())
        self.exporter = OtelExporter(meters, tracers, owned=True, **settings)

    def metrics(self) -> dict[str, tuple[str, Points]]:
        """Unit and points of each metric, by its name."""
        data: Any = self.reader.get_metrics_data()
        found = data.resource_metrics[0].scope_metrics[0].metrics
        return {
            one.name: (one.unit, {_labels(point): point for point in one.data.data_points})
            for one in found
        }


def _labels(point: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(point.attributes.items()))


def value(found: tuple[str, Points], **labels: str) -> Any:
    """Of the point with these labels, dots in their names written as two underscores."""
    wanted = tuple(sorted((name.replace("__", "."), text) for name, text in labels.items()))
    return found[1][wanted].value


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    sdk = Sdk()
    yield sdk
    sdk.exporter.close()


def test_devices_are_those_of_the_hardware_conventions(sdk: Sdk) -> None:
    """``hw.energy`` in joules by id and type; what the meter counted."""
    with by_hand(watts=100.0, exporters=[sdk.exporter]) as rig:
        rig.ran(seconds=2.0)
        rig.receipts()
        found = sdk.metrics()
        (unit, points) = found["hw.energy"]
        (point,) = points.values()
        assert found["hw.power"][0] == "W"
    assert unit == "J"
    assert point.value == pytest.approx(200.0)
    assert point.attributes["hw.id"] == "gpu:0"
    assert point.attributes["hw.type"] == "gpu"
    assert point.attributes["inferprint.provenance"] == "measured"


def test_requests_are_counted(sdk: Sdk) -> None:
    """Energy by component and phase, tokens by type, in a namespace of our own."""
    parts = {"gpu": component(30.0, 8.0, 2.0), "cpu": component(total_j=5.0)}
    told = Tokens(12, 8, 3)
    ask: Any = {"parts": parts, "tokens": told}
    sdk.exporter.export([receipt(**ask), receipt(outcome="error", **ask)])
    found, model = sdk.metrics(), {"gen_ai__request__model": "llama-3-8b"}
    gpu: dict[str, str] = {**model, "inferprint__component": "gpu"}
    energy = found["inferprint.energy"]
    assert value(energy, **gpu, inferprint__phase="active") == 60.0
    assert value(energy, **gpu, inferprint__phase="standing") == 4.0
    unsplit = {"inferprint__component": "cpu", "inferprint__phase": "unsplit"}
    assert value(energy, **model, **unsplit) == 10.0
    assert value(found["inferprint.tokens"], **model, gen_ai__token__type="cached_input") == 16
    histogram = found["inferprint.request.energy"]
    assert histogram[0] == "J"
    key = (("gen_ai.request.model", "llama-3-8b"), ("inferprint.outcome", "error"))
    assert (histogram[1][key].count, histogram[1][key].sum) == (1, 45.0)
    assert histogram[1][key].explicit_bounds[0] == 0.001


def test_what_is_not_known_is_not_sent(sdk: Sdk) -> None:
    """No carbon without a location, no tokens that were not told, no energy of 0."""
    sdk.exporter.export([receipt()])
    found = sdk.metrics()
    assert "inferprint.carbon" not in found
    assert "inferprint.tokens" not in found
    assert "inferprint.request.energy" not in found
    assert found["inferprint.request.duration"][0] == "s"
    assert not any("energy" in name for name in span_attributes(receipt()))


def test_a_span_carries_the_receipt(sdk: Sdk) -> None:
    """Start and end, model and tokens as ``gen_ai.*``, what is ours under our own names."""
    made = receipt(
        parts={"gpu": component(30.0, 8.0, 2.0)}, tokens=Tokens(12, 8, 3), labels={"route": "/chat"}
    )
    sdk.exporter.export([made])
    (span,) = sdk.spans.get_finished_spans()
    assert span.attributes == span_attributes(made)
    assert span.attributes["gen_ai.usage.input_tokens"] == 12
    assert span.attributes["gen_ai.usage.output_tokens"] == 3
    assert span.attributes["inferprint.energy.total"] == 40.0
    assert span.attributes["inferprint.energy.idle"] == 8.0
    assert span.attributes["inferprint.label.route"] == "/chat"
    assert span.start_time is not None
    assert span.end_time == span.start_time + 2_000_000_000


def test_models_are_capped() -> None:
    """A client that makes names up makes no series."""
    sdk = Sdk(max_models=2)
    sdk.exporter.export([receipt(model=f"m{n}") for n in range(5)])
    points = sdk.metrics()["inferprint.request.duration"][1].values()
    counts = {point.attributes["gen_ai.request.model"]: point.count for point in points}
    sdk.exporter.close()
    assert counts == {"m0": 1, "m1": 1, "other": 3}


class Receiver:
    """Takes OTLP over HTTP, and decodes it."""

    def __init__(self) -> None:
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.traces: list[ExportTraceServiceRequest] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.take(self.path, body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/metrics":
            self.metrics.append(ExportMetricsServiceRequest.FromString(body))
        elif path == "/v1/traces":
            self.traces.append(ExportTraceServiceRequest.FromString(body))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_a_collector_gets_it_by_otlp(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the exporter's name alone, to where OpenTelemetry's own variable says; the last of it
    before the tracker has stopped.
    """
    receiver = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "chat")
    try:
        with by_hand(watts=100.0, exporters=load_exporters(Config(exporters=("otel",)))) as rig:
            rig.ran("llama", seconds=2.0)
            rig.receipts()
    finally:
        receiver.close()
    (told,) = receiver.metrics[-1].resource_metrics
    assert ("service.name", "chat") in {
        (a.key, a.value.string_value) for a in told.resource.attributes
    }
    metrics = {one.name: one for one in told.scope_metrics[0].metrics}
    (energy,) = metrics["hw.energy"].sum.data_points
    assert energy.as_double == pytest.approx(200.0)
    assert metrics["hw.energy"].sum.is_monotonic
    (spans,) = receiver.traces[-1].resource_spans
    assert spans.scope_spans[0].spans[0].name == "inferprint.request llama"


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_span_joins_the_trace_that_its_request_began_in(sdk: Sdk) -> None:
    """As a child of the span that was the current one at its start, wherever it is settled; the
    receipt has the ids as labels, by which exemplars link to the trace.
    """
    tracer = TracerProvider().get_tracer("app")
    with by_hand(watts=100.0, exporters=[sdk.exporter]) as rig:
        with tracer.start_as_current_span("handler") as around:
            rig.ran("llama", seconds=1.0)
        labels = rig.one_receipt().labels
        rig.ran("outside", seconds=1.0)
        rig.receipts()
    inside, outside = sdk.spans.get_finished_spans()
    context = around.get_span_context()
    assert inside.context.trace_id == context.trace_id
    assert inside.parent is not None
    assert inside.parent.span_id == context.span_id
    assert (outside.parent, outside.context.trace_id == context.trace_id) == (None, False)
    assert labels == {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    assert not [name for name in inside.attributes or {} if name.startswith("inferprint.label.")]


def test_a_trace_that_is_not_recorded_is_not_joined(sdk: Sdk) -> None:
    """Its id would lead to nothing; the span of the receipt begins a trace of its own."""
    tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer("app")
    with by_hand(watts=100.0, exporters=[sdk.exporter]) as rig:
        with tracer.start_as_current_span("handler"):
            rig.ran("llama", seconds=1.0)
        assert rig.one_receipt().labels == {}
    (span,) = sdk.spans.get_finished_spans()
    assert span.parent is None


@pytest.mark.parametrize("labels", [{"trace_id": "mine"}, {"trace_id": "0", "span_id": "0"}])
def test_labels_of_that_name_may_be_anything(sdk: Sdk, labels: dict[str, str]) -> None:
    """A user's own label is kept, and joins nothing."""
    sdk.exporter.export([receipt(labels=labels)])
    (span,) = sdk.spans.get_finished_spans()
    assert span.parent is None


@pytest.mark.parametrize(
    ("header", "joins"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-03-more", True),  # of a later version
        (f"00-{TRACE}-{SPAN}-00", False),  # not recorded
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        ("", False),
        ("\u00ff" * 55, False),
    ],
)
def test_the_header_of_a_trace_is_read_as_its_standard_says(header: str, joins: bool) -> None:
    """W3C Trace Context; what is not usable is no trace."""
    expected = {"trace_id": TRACE, "span_id": SPAN} if joins else {}
    assert trace_labels(header.encode("latin-1")) == expected


class GrpcReceiver:
    """A server of OTLP over gRPC that keeps what it is sent."""

    def __init__(self) -> None:
        self.metrics: list[Any] = []
        self.traces: list[Any] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        package = "opentelemetry.proto.collector"
        for name, request, reply, kept in (
            (
                f"{package}.metrics.v1.MetricsService",
                ExportMetricsServiceRequest,
                ExportMetricsServiceResponse,
                self.metrics,
            ),
            (
                f"{package}.trace.v1.TraceService",
                ExportTraceServiceRequest,
                ExportTraceServiceResponse,
                self.traces,
            ),
        ):
            self._server.add_generic_rpc_handlers([self._handler(name, request, reply, kept)])
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _handler(self, name: str, request: Any, reply: Any, kept: list[Any]) -> Any:
        def export(told: Any, _context: Any) -> Any:
            kept.append(told)
            return reply()

        call = grpc.unary_unary_rpc_method_handler(
            export, request.FromString, reply.SerializeToString
        )
        return grpc.method_handlers_generic_handler(name, {"Export": call})

    def close(self) -> None:
        self._server.stop(None).wait()


def test_a_collector_gets_it_by_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenTelemetry's own variable says so: the same metrics and spans."""
    receiver = GrpcReceiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    try:
        with by_hand(watts=100.0, exporters=load_exporters(Config(exporters=("otel",)))) as rig:
            rig.ran("llama", seconds=2.0)
            rig.receipts()
    finally:
        receiver.close()
    (told,) = receiver.metrics[-1].resource_metrics
    metrics = {one.name: one for one in told.scope_metrics[0].metrics}
    assert metrics["hw.energy"].sum.data_points[0].as_double == pytest.approx(200.0)
    (spans,) = receiver.traces[-1].resource_spans
    assert spans.scope_spans[0].spans[0].name == "inferprint.request llama"


def test_a_protocol_that_there_is_none_of_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable, what it says and what it may say."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "carrier-pigeon")
    with pytest.raises(ConfigError, match="http/protobuf, grpc") as caught:
        load_exporters(Config(exporters=("otel",)))
    assert caught.value.field == "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"


def test_a_collector_that_is_away_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are served and settled, and the stop does not wait for long."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with by_hand(watts=100.0, exporters=load_exporters(Config(exporters=("otel",)))) as rig:
        rig.ran(seconds=2.0)
        assert rig.one_receipt().energy.total_j is not None


def test_without_the_package_the_error_says_what_to_install() -> None:
    """MissingExtra, with pip's command, from the tracker that was to use it."""
    result = run_python(
        "-c",
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "import inferprint\n"
        "try: inferprint.Tracker(inferprint.Config(exporters=('otel',)))\n"
        "except inferprint.MissingExtra as error: print(error)",
    )
    assert result.returncode == 0, result.stderr
    assert "pip install 'inferprint[otel]'" in result.stdout
    assert issubclass(MissingExtra, ImportError)
