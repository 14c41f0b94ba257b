"""The dashboard *Models*: which model costs what, how it spreads, and how good quotes are."""

from __future__ import annotations

from inferprint_exporters.grafana.panels import MODEL, Dashboard, Panel, Query, Row
from inferprint_exporters.grafana.promql import ratio, summed

__all__ = ["MODELS"]

NO_TOKENS = "no request tells of its tokens"
NO_QUOTES = "no request was quoted"
ALL_HOSTS = "Over all hosts, as it is recorded without them."
NAMED = 'model=~"$model"'
# Output tokens of a model at each instant; a model that gives none has no figure, not infinity.
OUTPUT = f'(sum by (model) (inferprint:tokens:rate5m{{{MODEL},type="output"}}) > 0)'
REQUESTS = f"(sum by (model) (inferprint:requests:rate5m{{{MODEL}}}) > 0)"

PER_TOKEN = Row(
    "Per token",
    (
        Panel(
            "Joules per output token",
            "Energy that a model's requests were charged over their output tokens, five minutes "
            "each. Prompts are in the energy, so long prompts raise it.",
            "lines",
            (
                Query(
                    f"{summed('inferprint:charged_watts:rate5m', by='model')} / {OUTPUT}",
                    "{{model}}",
                ),
            ),
            "joule",
            empty_while=NO_TOKENS,
        ),
        Panel(
            "Joules per output token by concurrency",
            "Over the range: energy over output tokens of the minutes in which a model's "
            "concurrency was in each class. A batch shares what one request would pay alone.",
            "bars",
            (
                Query(
                    ratio(
                        "inferprint:charged_watts_at_concurrency:rate5m",
                        "inferprint:output_tokens_at_concurrency:rate5m",
                        by="model, concurrency",
                    ),
                    "{{model}} at {{concurrency}}",
                ),
            ),
            "joule",
            empty_while=NO_TOKENS,
        ),
        Panel(
            "Concurrency",
            "Mean requests in flight: seconds that requests ran for, per second (Little's law), "
            "counted when a request has settled.",
            "lines",
            (Query(summed("inferprint:concurrency:rate5m", by="model"), "{{model}}"),),
        ),
        Panel(
            "Tokens per second",
            "As requests told them. Input includes cached input.",
            "lines",
            (Query(summed("inferprint:tokens:rate5m", by="model, type"), "{{model}} {{type}}"),),
            empty_while=NO_TOKENS,
        ),
    ),
)

PER_REQUEST = Row(
    "Per request",
    (
        Panel(
            "Energy per request",
            "Energy that a model's settled requests were charged over their number, five minutes "
            "each.",
            "lines",
            (
                Query(
                    f"{summed('inferprint:request_watts:rate5m', by='model')} / {REQUESTS} / 3600",
                    "{{model}}",
                ),
            ),
            "watth",
        ),
        Panel(
            "Idle share",
            "The part of what a model's requests were charged that is idle power, while they ran "
            "and while nobody called.",
            "lines",
            (
                Query(
                    f"sum by (model) (inferprint:charged_watts:rate5m{{{MODEL},"
                    'phase=~"idle|standing"})'
                    f" / (sum by (model) (inferprint:charged_watts:rate5m{{{MODEL}}}) > 0)",
                    "{{model}}",
                ),
            ),
            "percentunit",
            empty_while="no idle power is known",
            most=1.0,
        ),
        Panel(
            "Energy of requests: how it spreads",
            f"Requests per second in each bucket of energy. {ALL_HOSTS}",
            "heatmap",
            (
                Query(
                    f"sum by (le) (inferprint:request_energy_joules_bucket:rate5m{{{NAMED}}})",
                    "{{le}}",
                ),
            ),
            "joule",
        ),
        Panel(
            "Energy of requests: half and 95 %",
            f"What half of a model's requests stay under, and 95 %, five minutes each, by the "
            f"buckets of their energy. {ALL_HOSTS}",
            "lines",
            (
                Query(
                    f"max by (model) (inferprint:request_energy_joules:p50{{{NAMED}}})",
                    "{{model}} half",
                ),
                Query(
                    f"max by (model) (inferprint:request_energy_joules:p95{{{NAMED}}})",
                    "{{model}} 95 %",
                ),
            ),
            "joule",
        ),
        Panel(
            "Energy of requests in the last hour, with traces",
            "What 95 % of a model's requests that ended well stay under. Each dot is a request "
            "that stands for its bucket; its link leads to the trace, where it has one.",
            "lines",
            (
                Query(
                    "histogram_quantile(0.95, sum by (model, le) "
                    f'(rate(inferprint_request_energy_joules_bucket{{{MODEL},outcome="ok"}}'
                    "[$__rate_interval])))",
                    "{{model}} 95 %",
                    exemplars=True,
                ),
            ),
            "joule",
            time_from="1h",
        ),
        Panel(
            "Wasted energy",
            "Watts that went into requests that failed or were cancelled.",
            "stacked",
            (
                Query(
                    summed("inferprint:wasted_watts:rate5m", by="model, outcome"),
                    "{{model}} {{outcome}}",
                ),
            ),
            "watt",
            empty_while="no request has failed or was cancelled",
        ),
    ),
)

TIMES = Row(
    "Times and quotes",
    (
        Panel(
            "Duration: 95 %",
            f"What 95 % of a model's requests stay under, from start to end. {ALL_HOSTS}",
            "lines",
            (
                Query(
                    f"max by (model) (inferprint:request_duration_seconds:p95{{{NAMED}}})",
                    "{{model}}",
                ),
            ),
            "s",
            width=8,
        ),
        Panel(
            "Time to first token: 95 %",
            f"What 95 % of a model's requests stay under. {ALL_HOSTS}",
            "lines",
            (
                Query(
                    f"max by (model) (inferprint:time_to_first_token_seconds:p95{{{NAMED}}})",
                    "{{model}}",
                ),
            ),
            "s",
            empty_while="no request tells of tokens while it runs",
            width=8,
        ),
        Panel(
            "Quote error",
            "What quoted requests used over what was quoted, of an hour each: half of them are "
            f"under the middle line, four in five between the outer ones. 1 is right. {ALL_HOSTS}",
            "lines",
            tuple(
                Query(
                    f"max by (model) (inferprint:quote_error_ratio:{name}{{{NAMED}}})",
                    f"{{{{model}}}} {name}",
                )
                for name in ("p10", "p50", "p90")
            ),
            empty_while=NO_QUOTES,
            width=8,
        ),
    ),
)

MODELS = Dashboard(
    "inferprint-models",
    "inferprint: models",
    "Which model uses what per token and per request, at which load, and how good quotes are.",
    ("host", "model"),
    (PER_TOKEN, PER_REQUEST, TIMES),
)
