"""Energy per request for OpenTelemetry: metrics of devices and requests, and a span a request.

Where it goes is set as for any program of OpenTelemetry's, by ``OTEL_EXPORTER_OTLP_ENDPOINT`` and
its like. The metrics are described in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    INVALID_SPAN_ID,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from inferprint import flags
from inferprint._version import __version__
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import ComponentEnergy, DeviceBalance
from inferprint.tracing import SPAN_ID, TRACE_ID
from inferprint.units import NS_PER_S
from inferprint_exporters import _otel_names as names
from inferprint_exporters._histogram import DURATION_BOUNDS_S, ENERGY_BOUNDS_J
from inferprint_exporters._otlp import otlp_exporter

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from inferprint import Config, Tracker

__all__ = ["OtelExporter", "span_attributes"]

# How long a stop waits for what is still to be sent.
FLUSH_MS = 1500
OTHER = "other"


class OtelExporter:
    """Sends totals of receipts, the books of devices, and a span for every receipt, which is a
    child of the span that the request began in.

    Args:
        meters: takes the metrics; ``meter_views()`` belong to it.
        tracers: takes the spans; None: none are sent.
        owned: shut the two down with the tracker.
        max_models: distinct models in metrics; what is past them is ``other``.
    """

    name = "otel"

    def __init__(
        self,
        meters: MeterProvider,
        tracers: TracerProvider | None = None,
        *,
        owned: bool = False,
        max_models: int = 100,
    ) -> None:
        self._meters, self._tracers, self._owned = meters, tracers, owned
        self._max_models = max_models
        self._models: set[str] = set()
        self._tracker: Tracker | None = None
        self._tracer = tracers.get_tracer(names.SCOPE, __version__) if tracers else None
        self._make(meters.get_meter(names.SCOPE, __version__))

    @classmethod
    def from_config(cls, config: Config) -> OtelExporter:
        """An exporter that sends by OTLP over HTTP or gRPC, as OpenTelemetry's variables say.

        Raises:
            MissingExtra: it is to be gRPC, and that is not installed.
            ConfigError: it is to be a protocol that there is none of.
        """
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # Both before either begins to send.
        spans, metrics = otlp_exporter("trace"), otlp_exporter("metric")
        resource = Resource.create()
        reader = PeriodicExportingMetricReader(metrics)
        meters = MeterProvider([reader], resource, views=meter_views())
        tracers = TracerProvider(resource=resource)
        tracers.add_span_processor(BatchSpanProcessor(spans))
        return cls(meters, tracers, owned=True, max_models=config.max_label_values)

    def _make(self, meter: Any) -> None:
        self._request_energy = meter.create_histogram(
            names.REQUEST_ENERGY, "J", "Energy charged to a request."
        )
        self._duration = meter.create_histogram(names.REQUEST_DURATION, "s", "From start to end.")
        counters = {
            names.ENERGY: ("J", "Energy charged to requests."),
            names.TOKENS: ("{token}", "Tokens of requests."),
            names.CARBON: ("g", "CO2 equivalent of requests."),
            names.WATER: ("L", "Water of requests."),
            names.COST: ("1", "Cost of requests, in the attribute's currency."),
            names.HOSTED_ENERGY: ("J", "Modelled energy of calls to models elsewhere."),
        }
        self._counters = {
            name: meter.create_counter(name, unit, about)
            for name, (unit, about) in counters.items()
        }
        meter.create_observable_counter(
            names.HW_ENERGY, [self._devices_j], "J", "Energy that a device used."
        )
        meter.create_observable_gauge(
            names.HW_POWER, [self._devices_w], "W", "Mean power of a device's last window."
        )

    def start(self, tracker: Tracker) -> None:
        """Reads this tracker's devices from now on, and the trace that its requests begin in."""
        self._tracker = tracker
        if self._tracer is not None:
            tracker.context_labels += (_trace_of_here,)

    def export(self, receipts: Sequence[Receipt]) -> None:
        """Adds settled receipts to the totals, and sends a span for each."""
        for receipt in receipts:
            self._count(receipt)
            if self._tracer is not None:
                self._trace(receipt)

    def close(self) -> None:
        """Sends what is still to be sent."""
        self._meters.force_flush(FLUSH_MS)
        if self._tracers is not None:
            self._tracers.force_flush(FLUSH_MS)
        if self._owned:
            self._meters.shutdown(FLUSH_MS)
            if self._tracers is not None:
                self._tracers.shutdown()

    def _count(self, receipt: Receipt) -> None:
        model = {names.MODEL: self._capped(receipt.model)}
        total_j = receipt.energy.total_j
        if flags.HOSTED in receipt.flags:
            self._add(names.HOSTED_ENERGY, total_j, model)
            return
        ended = {**model, names.OUTCOME: str(receipt.outcome)}
        self._duration.record(receipt.duration_s, ended)
        if total_j is not None:
            self._request_energy.record(total_j.mid, ended)
        for component, part in receipt.energy.by_component.items():
            self._count_component(part, {**model, names.COMPONENT: component})
        self._count_tokens(receipt, model)
        self._add(names.CARBON, receipt.carbon, model)
        self._add(names.WATER, receipt.water, model)
        if receipt.cost is not None and receipt.cost.mid >= 0:  # a price may be below 0
            self._add(names.COST, receipt.cost, {**model, names.CURRENCY: receipt.cost.currency})

    def _count_component(self, part: ComponentEnergy, labels: Mapping[str, str]) -> None:
        itemised_j = 0.0
        for phase in ("active", "idle", "standing"):
            joules = getattr(part, f"{phase}_j")
            self._add(names.ENERGY, joules, {**labels, names.PHASE: phase})
            itemised_j += 0.0 if joules is None else joules.mid
        if part.active_j is None and part.total_j is not None:
            rest = Range.exactly(part.total_j.mid - itemised_j)
            self._add(names.ENERGY, rest, {**labels, names.PHASE: "unsplit"})

    def _count_tokens(self, receipt: Receipt, model: Mapping[str, str]) -> None:
        for kind in ("input", "cached_input", "output"):
            count = getattr(receipt.tokens, kind)
            if count:
                self._counters[names.TOKENS].add(count, {**model, names.TOKEN_TYPE: kind})

    def _add(self, name: str, figure: Any, labels: Mapping[str, str]) -> None:
        """Adds a figure's middle; what is not known is not added."""
        if figure is not None:
            self._counters[name].add(max(0.0, figure.mid), labels)

    def _capped(self, model: str) -> str:
        if model not in self._models:
            if len(self._models) >= self._max_models:
                return OTHER
            self._models.add(model)
        return model.encode("utf-8", "replace").decode()

    def _trace(self, receipt: Receipt) -> None:
        assert self._tracer is not None
        if receipt.started_at is None or receipt.duration_s is None:
            return  # a span has a beginning and an end
        start_ns = round(receipt.started_at.timestamp() * NS_PER_S)
        span = self._tracer.start_span(
            f"{names.SPAN} {receipt.model}".strip(),
            kind=SpanKind.INTERNAL,
            attributes=span_attributes(receipt),
            start_time=start_ns,
            context=_context_of(receipt.labels),
        )
        if receipt.outcome == "error":
            span.set_status(Status(StatusCode.ERROR))
        span.end(start_ns + round(receipt.duration_s * NS_PER_S))

    def _devices_j(self, _: CallbackOptions) -> Iterable[Observation]:
        for id_, device in self._devices():
            yield Observation(device.measured_j, _labels(id_, device))

    def _devices_w(self, _: CallbackOptions) -> Iterable[Observation]:
        for id_, device in self._devices():
            if device.power_w is not None:
                yield Observation(device.power_w, _labels(id_, device))

    def _devices(self) -> Iterable[tuple[str, DeviceBalance]]:
        return self._tracker.balance().devices.items() if self._tracker is not None else ()


def meter_views() -> list[View]:
    """How the metrics are gathered: histograms in the buckets that Prometheus' have."""
    bounds = {names.REQUEST_ENERGY: ENERGY_BOUNDS_J, names.REQUEST_DURATION: DURATION_BOUNDS_S}
    return [
        View(instrument_name=name, aggregation=ExplicitBucketHistogramAggregation(bound))
        for name, bound in bounds.items()
    ]


def span_attributes(receipt: Receipt) -> dict[str, Any]:
    """What a receipt says, as attributes of a span; what is not known is left out.

    It can be set on a span of one's own: ``span.set_attributes(span_attributes(receipt))``.
    """
    energy, total_j = receipt.energy, receipt.energy.total_j
    figures = {
        names.TOTAL_J: total_j,
        names.ACTIVE_J: energy.active_j,
        names.IDLE_J: energy.idle_j,
        names.STANDING_J: energy.standing_j,
        names.OVERHEAD_J: energy.overhead_j,
        names.CARBON_G: receipt.carbon,
        names.WATER_L: receipt.water,
        names.COST_AMOUNT: receipt.cost,
    }
    found: dict[str, Any] = {
        names.MODEL: receipt.model or None,
        names.INPUT_TOKENS: receipt.tokens.input,
        names.CACHED_INPUT_TOKENS: receipt.tokens.cached_input,
        names.OUTPUT_TOKENS: receipt.tokens.output,
        names.REQUEST_ID: receipt.request_id,
        names.OUTCOME: receipt.outcome,
        names.METHOD: receipt.attribution_method,
        names.PROVENANCE: receipt.provenance,
        names.IDLE_POLICY: receipt.idle_policy,
        names.TIME_TO_FIRST_TOKEN_S: receipt.time_to_first_token_s,
        names.TOTAL_LOW_J: None if total_j is None else total_j.low,
        names.TOTAL_HIGH_J: None if total_j is None else total_j.high,
        names.CURRENCY: None if receipt.cost is None else receipt.cost.currency,
        names.FLAGS: sorted(receipt.flags) or None,
        **{name: None if figure is None else figure.mid for name, figure in figures.items()},
        **{
            names.LABEL + name: value
            for name, value in receipt.labels.items()
            if name not in (TRACE_ID, SPAN_ID)
        },
    }
    return {name: value for name, value in found.items() if value is not None}


def _labels(id_: str, device: DeviceBalance) -> dict[str, str]:
    return {
        names.HW_ID: id_,
        names.HW_NAME: device.name,
        names.HW_TYPE: names.HW_TYPES[device.component],
        names.PROVENANCE: device.provenance,
    }


def _trace_of_here() -> Mapping[str, str]:
    """Labels of the span that is the current one, if it is recorded."""
    context = get_current_span().get_span_context()
    if context.span_id == INVALID_SPAN_ID or not context.trace_flags.sampled:
        return {}
    return {TRACE_ID: f"{context.trace_id:032x}", SPAN_ID: f"{context.span_id:016x}"}


def _context_of(labels: Mapping[str, str]) -> Context | None:
    """The context of the span that these labels name; None: they name none."""
    try:
        trace_id, span_id = int(labels[TRACE_ID], 16), int(labels[SPAN_ID], 16)
    except (KeyError, ValueError):  # a label of that name may be anything
        return None
    sampled = TraceFlags(TraceFlags.SAMPLED)
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=sampled)
    return set_span_in_context(NonRecordingSpan(context)) if context.is_valid else None
