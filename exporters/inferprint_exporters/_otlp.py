"""The senders of OTLP, by the protocol that OpenTelemetry's own variables name."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

from inferprint._config import environment_variable
from inferprint.errors import ConfigError, MissingExtra

__all__ = ["otlp_exporter"]

VARIABLE = "OTEL_EXPORTER_OTLP_PROTOCOL"
# Source: OpenTelemetry specification 1.50, "OpenTelemetry Protocol Exporter".
PROTOCOLS = {"http/protobuf": "http", "grpc": "grpc"}
CLASSES = {"metric": "OTLPMetricExporter", "trace": "OTLPSpanExporter"}


def otlp_exporter(signal: Literal["metric", "trace"]) -> Any:
    """A sender of metrics or of spans, to where OpenTelemetry's variables say.

    Raises:
        ConfigError: they name a protocol that there is none of.
        MissingExtra: they name gRPC, and it is not installed.
    """
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}S_PROTOCOL"
    name = own if environment_variable(own) else VARIABLE
    given = environment_variable(name) or "http/protobuf"
    if given not in PROTOCOLS:
        raise ConfigError(name, given, f"one of {', '.join(PROTOCOLS)}")
    module = f"opentelemetry.exporter.otlp.proto.{PROTOCOLS[given]}.{signal}_exporter"
    try:
        return getattr(import_module(module), CLASSES[signal])()
    except ModuleNotFoundError as error:
        raise MissingExtra("OTLP over gRPC", "otel-grpc") from error
