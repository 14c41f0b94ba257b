"""Joules a token from an engine's own counters: pages of metrics, and windows between two."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from grid_server import Reply, serving
from inferprint import Range, ReadingError, Tokens
from inferprint.integrations.engine_metrics import (
    TokenCounts,
    engine_windows,
    read_counts,
    scrape,
)

# As each engine's documentation shows its page; the values are made up.
PAGES: dict[str, tuple[str, TokenCounts]] = {
    "vllm": (
        """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="llama"} 8.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="llama"} 120.0
vllm:prompt_tokens_total{engine="1",model_name="llama"} 80.0
# TYPE vllm:prompt_tokens_cached_total counter
vllm:prompt_tokens_cached_total{engine="0",model_name="llama"} 50.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="llama"} 27.0
# TYPE vllm:request_prompt_tokens histogram
vllm:request_prompt_tokens_sum{engine="0",model_name="llama"} 9.0
""",
        TokenCounts("vllm", {"llama": Tokens(200, 50, 27)}),
    ),
    "sglang": (
        """# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="meta-llama/Llama-3.1-8B"} 8.128902e+06
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="meta-llama/Llama-3.1-8B"} 7.557572e+06
# TYPE sglang:cached_tokens_total counter
sglang:cached_tokens_total{model_name="meta-llama/Llama-3.1-8B"} 12.0
""",
        TokenCounts("sglang", {"meta-llama/Llama-3.1-8B": Tokens(8128902, 12, 7557572)}),
    ),
    "tgi": (
        """# TYPE tgi_request_input_length histogram
tgi_request_input_length_bucket{le="15.6"} 1
tgi_request_input_length_bucket{le="+Inf"} 2
tgi_request_input_length_sum 20
tgi_request_input_length_count 2
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_bucket{le="+Inf"} 2
tgi_request_generated_tokens_sum 7
tgi_request_generated_tokens_count 2
""",
        TokenCounts("tgi", {"": Tokens(20, None, 7)}),
    ),
    "llama.cpp": (
        """# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 20
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 7
""",
        TokenCounts("llama.cpp", {"": Tokens(20, None, 7)}),
    ),
}

counts = st.integers(0, 10**9)
tokens = st.builds(Tokens, counts, st.none(), counts)


@pytest.mark.parametrize(("page", "expected"), PAGES.values(), ids=PAGES)
def test_an_engines_page_is_read(page: str, expected: TokenCounts) -> None:
    """By its own names, summed over its ranks."""
    assert read_counts(page) == expected


def test_other_pages_have_no_counts() -> None:
    """Of another program, and of none at all."""
    assert read_counts("# TYPE up gauge\nup 1\n") is None
    assert read_counts("") is None


def test_what_is_no_page_is_a_fault() -> None:
    """It is named as one that could not be read."""
    with pytest.raises(ReadingError, match="can't be read"):
        read_counts("<html>{oops</html>\n")


@given(before=tokens, after=tokens, energy_j=st.floats(0.1, 1e9))
def test_a_window_gives_what_it_was_given(before: Tokens, after: Tokens, energy_j: float) -> None:
    """Joules a token times tokens are the joules; a counter that fell began anew."""
    one, two = TokenCounts("vllm", {"m": before}), TokenCounts("vllm", {"m": after})
    for window in engine_windows(one, two, Range.exactly(energy_j)):
        told = window.tokens
        assert told.input is not None
        assert told.output is not None
        fell = after.input < before.input  # type: ignore[operator]
        assert told.input == (after.input if fell else after.input - before.input)  # type: ignore[operator]
        assert window.window_joules_per_token is not None
        total = window.window_joules_per_token.mid * (told.input + told.output)
        assert total == pytest.approx(energy_j)


def test_cached_tokens_are_not_computed() -> None:
    """100 J over 60 prompt tokens, of which 20 were cached, and 10 output tokens."""
    before = TokenCounts("vllm", {"m": Tokens(0, 0, 0)})
    after = TokenCounts("vllm", {"m": Tokens(60, 20, 10)})
    (window,) = engine_windows(before, after, Range.exactly(100.0))
    assert window.window_joules_per_token == Range.exactly(2.0)
    assert window.window_joules_per_output_token == Range.exactly(10.0)


def test_what_can_not_be_told_is_unknown() -> None:
    """Two models at once share the devices; without energy there is none; a model that did
    nothing is left out.
    """
    before = TokenCounts("vllm", {})
    after = TokenCounts("vllm", {"a": Tokens(1, None, 1), "b": Tokens(1, None, 1), "c": Tokens(0)})
    windows = engine_windows(before, after, Range.exactly(9.0))
    assert [(one.model, one.window_energy_j) for one in windows] == [("a", None), ("b", None)]
    assert {one.window_joules_per_token for one in windows} == {None}
    alone = TokenCounts("vllm", {"a": Tokens(1, None, 0)})
    (window,) = engine_windows(before, alone, None)
    assert window.window_joules_per_token is None
    (window,) = engine_windows(before, alone, Range.exactly(9.0))
    assert window.window_joules_per_output_token is None


def test_a_page_is_scraped() -> None:
    """From a real server, whose counters are prometheus_client's, as vLLM's are."""
    registry = CollectorRegistry()
    labels = {"labelnames": ["model_name"], "registry": registry}
    Gauge("vllm:num_requests_running", "x", **labels).labels("m").set(3)
    Counter("vllm:prompt_tokens", "x", **labels).labels("m").inc(12)
    Counter("vllm:generation_tokens", "x", **labels).labels("m").inc(3)
    page = generate_latest(registry)
    with serving(lambda _: Reply(page)) as server:
        assert scrape(server.url) == TokenCounts("vllm", {"m": Tokens(12, None, 3)})


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(b"up 1\n"), "no token counters of vllm, sglang"),
        (Reply(b"gone", 500), "could not be read"),
        (Reply(close=True), "could not be read"),
        (Reply(b"<html>{oops</html>\n"), "can't be read"),
    ],
    ids=["other", "500", "closed", "html"],
)
def test_a_page_that_can_not_be_had_says_why(reply: Any, said: str) -> None:
    """With the address, where there was no answer."""
    with serving(lambda _: reply) as server, pytest.raises(ReadingError, match=said):
        scrape(server.url)
