"""An engine's windows: its own counters and the devices' joules, as the exporter counts them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_tracker import FakeTracker, gpu_books
from grid_server import Reply, serving
from inferprint import Config, Tokens
from inferprint.errors import ConfigError
from inferprint.integrations.engine_metrics import TokenCounts
from inferprint_exporters._engine import Energy, EngineTotals, EngineWatch, energy_of
from inferprint_exporters.prometheus import PrometheusExporter
from rig import SteadySource, by_hand, live
from test_engine_metrics import PAGES

TOKENS = "inferprint_engine_tokens_total"
ALONE = "inferprint_engine_window_energy_joules_total"
UNASSIGNED = "inferprint_engine_unassigned_window_energy_joules_total"
GPU = ("gpu", "measured")


def uncapped(_label: str, value: str) -> str:
    return value


@pytest.fixture
def totals() -> EngineTotals:
    return EngineTotals(uncapped)


def gpu(joules: float) -> Energy:
    return {"gpu": ("measured", joules)}


def counts(engine: str = "vllm", **models: tuple[int, int]) -> TokenCounts:
    return TokenCounts(engine, {name: Tokens(i, None, o) for name, (i, o) in models.items()})


def test_a_window_of_one_model_has_its_tokens_and_all_energy(totals: EngineTotals) -> None:
    """100 J for 6 and 4 tokens; what was counted before the first look is in no window."""
    totals.take(counts(m=(10, 10)), gpu(50.0))
    assert not any(totals.snapshot().values())
    totals.take(counts(m=(16, 14)), gpu(150.0))
    found = totals.snapshot()
    assert found[TOKENS] == {
        ("vllm", "m", "input", "one_model"): 6,
        ("vllm", "m", "output", "one_model"): 4,
    }
    assert found[ALONE] == {("vllm", "m", *GPU): 100.0}
    assert found[UNASSIGNED] == {}


def test_windows_of_several_models_and_of_none_are_apart(totals: EngineTotals) -> None:
    """So that energy over tokens is of the same windows."""
    totals.take(counts(a=(0, 0), b=(0, 0)), gpu(0.0))
    totals.take(counts(a=(1, 1), b=(1, 1)), gpu(10.0))
    totals.take(counts(a=(1, 1), b=(1, 1)), gpu(15.0))
    totals.take(counts(a=(3, 1), b=(1, 1)), gpu(35.0))
    found = totals.snapshot()
    assert found[UNASSIGNED] == {
        ("vllm", *GPU, "several_models"): 10.0,
        ("vllm", *GPU, "no_tokens"): 5.0,
    }
    assert found[ALONE] == {("vllm", "a", *GPU): 20.0}
    assert found[TOKENS]["vllm", "a", "input", "one_model"] == 2
    assert found[TOKENS]["vllm", "a", "input", "several_models"] == 1


@pytest.mark.parametrize("way", ["no answer", "no reading", "another device"])
def test_an_interrupted_window_has_tokens_and_no_energy(totals: EngineTotals, way: str) -> None:
    """Nothing is guessed, and the window after it is whole again."""
    totals.take(counts(m=(0, 0)), gpu(0.0))
    if way == "no answer":
        totals.interrupt()
        totals.take(counts(m=(5, 0)), gpu(70.0))
    else:
        totals.take(counts(m=(5, 0)), None if way == "no reading" else {"cpu": ("modelled", 1.0)})
        totals.take(counts(m=(5, 0)), gpu(70.0))
    totals.take(counts(m=(7, 0)), gpu(90.0))
    found = totals.snapshot()
    assert found[TOKENS]["vllm", "m", "input", "interrupted"] == 5
    assert found[TOKENS]["vllm", "m", "input", "one_model"] == 2
    assert found[ALONE] == {("vllm", "m", *GPU): 20.0}


def test_an_engine_that_starts_anew_counts_from_0(totals: EngineTotals) -> None:
    """And another engine at the same address begins a window of its own."""
    totals.take(counts(m=(100, 100)), gpu(0.0))
    totals.take(counts(m=(3, 2)), gpu(10.0))
    assert totals.snapshot()[TOKENS]["vllm", "m", "output", "one_model"] == 2
    totals.take(counts("sglang", m=(500, 500)), gpu(20.0))
    assert {labels[0] for labels in totals.snapshot()[TOKENS]} == {"vllm"}


steps = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from(["a", "b"]), st.tuples(*2 * [st.integers(0, 100)]), min_size=1
        ),
        st.none() | st.floats(0, 1e6),
    ),
    max_size=20,
)


@given(steps)
def test_no_token_and_no_joule_is_lost_or_doubled(given_: Any) -> None:
    """Over any windows: all tokens are counted, all energy of windows that have some is, and no
    counter falls.
    """
    totals = EngineTotals(uncapped)
    told = {"a": [0, 0], "b": [0, 0]}
    joules, expected_j, known = 0.0, 0.0, True
    totals.take(counts(a=(0, 0), b=(0, 0)), gpu(0.0))
    before: dict[Any, float] = {}
    for more, used_j in given_:
        for model, (input_, output) in more.items():
            told[model][0] += input_
            told[model][1] += output
        joules += used_j or 0.0
        energy = None if used_j is None else gpu(joules)
        expected_j += (used_j or 0.0) if known else 0.0
        known = used_j is not None
        totals.take(counts(a=tuple(told["a"]), b=tuple(told["b"])), energy)  # type: ignore[arg-type]
        found = totals.snapshot()
        now = {(name, *labels): n for name in found for labels, n in found[name].items()}
        assert all(now[key] >= n for key, n in before.items())  # type: ignore[operator]
        before = now  # type: ignore[assignment]
    assert sum(found_of(totals, TOKENS)) == sum(map(sum, told.values()))
    energy_j = sum(found_of(totals, ALONE)) + sum(found_of(totals, UNASSIGNED))
    assert energy_j == pytest.approx(expected_j)


def found_of(totals: EngineTotals, name: str) -> list[Any]:
    return [*totals.snapshot()[name].values()]


def test_energy_is_by_component_and_not_known_while_a_device_is_not_read() -> None:
    """All devices of a component together; one that is silent makes it unknown."""
    tracker: Any = FakeTracker()
    assert energy_of(tracker) is None
    tracker.devices = {"GPU-1": gpu_books(100.0), "GPU-2": gpu_books(20.0)}
    tracker.reading_age_s = {"GPU-1": 0.1, "GPU-2": 0.1}
    assert energy_of(tracker) == gpu(120.0)
    tracker.reading_age_s["GPU-2"] = 30.0
    assert energy_of(tracker) is None
    del tracker.reading_age_s["GPU-2"]
    assert energy_of(tracker) is None


class Engine:
    """A server whose page is one of an engine's."""

    def __init__(self) -> None:
        self.page: bytes | None = None

    def __call__(self, _: Any) -> Reply:
        return Reply(b"gone", 500) if self.page is None else Reply(self.page)


@pytest.fixture
def engine() -> Iterator[tuple[Engine, str]]:
    answers = Engine()
    with serving(answers) as server:
        yield answers, server.url


@pytest.mark.parametrize("name", PAGES)
def test_each_engines_page_becomes_series(engine: tuple[Engine, str], name: str) -> None:
    """By the page as its server writes it: counted from the second look on, over real HTTP, with
    what a tracker's device used meanwhile; the model is empty where the page names none.
    """
    answers, url = engine
    page, expected = PAGES[name]
    with by_hand(watts=100.0) as rig:
        exporter = PrometheusExporter()
        exporter.start(rig.tracker)
        rig.tracker.sample()
        answers.page = PAGES_BEFORE[name].encode()
        watch = EngineWatch(url, rig.tracker, exporter._engine_totals, look_s=3600.0)
        watch.close()  # after its first look
        rig.clock.advance(2.0)
        rig.tracker.sample()
        answers.page = page.encode()
        watch.look()
        (model,) = expected.by_model
        told = expected.by_model[model]
        for type_ in ("input", "cached_input", "output"):
            labels = {"engine": name, "model": model, "type": type_, "window": "one_model"}
            assert exporter.registry.get_sample_value(TOKENS, labels) == getattr(told, type_)
        labels = {"engine": name, "model": model, "component": "gpu", "provenance": "measured"}
        assert exporter.registry.get_sample_value(ALONE, labels) == pytest.approx(200.0)
        assert rig.tracker.status().source_errors == {}


def emptied(page: str) -> str:
    """A page on which every counter is 0."""
    lines = [
        line if line.startswith("#") or not line else line.rsplit(" ", 1)[0] + " 0"
        for line in page.splitlines()
    ]
    return "\n".join(lines) + "\n"


PAGES_BEFORE = {name: emptied(page) for name, (page, _) in PAGES.items()}


def test_an_engine_that_can_not_be_read_is_a_fault_that_is_counted(
    engine: tuple[Engine, str],
) -> None:
    """Each time, by its kind; a page that comes again is counted again, and nothing is raised."""
    answers, url = engine
    with by_hand() as rig:
        totals = EngineTotals(uncapped)
        watch = EngineWatch(url, rig.tracker, totals, look_s=3600.0)
        watch.close()
        for page in (b"<html>{oops</html>\n", b"up 1\n", PAGES["vllm"][0].encode()):
            answers.page = page
            watch.look()
        assert rig.tracker.status().source_errors == {
            ("engine metrics", "unreachable"): 1,
            ("engine metrics", "format"): 1,
            ("engine metrics", "unknown"): 1,
        }
        assert totals.snapshot()[TOKENS] == {}


def test_the_setting_is_all_that_it_takes(engine: tuple[Engine, str]) -> None:
    """A tracker with the Prometheus exporter looks by itself, beside its requests, and leaves no
    thread behind; its totals stay.
    """
    answers, url = engine
    answers.page = PAGES_BEFORE["vllm"].encode()
    exporter = PrometheusExporter()
    with live(SteadySource(), exporters=[exporter], engine_metrics_url=url) as tracker:
        assert exporter._engine is not None
        deadline = time.monotonic() + 30
        while exporter._engine_totals._counts is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)  # the device is read meanwhile
        answers.page = PAGES["vllm"][0].encode()
        exporter._engine.look()
        assert tracker.status().source_errors == {}
    assert exporter._engine is None
    assert sum(found_of(exporter._engine_totals, TOKENS)) == 277
    text = b"inferprint_engine_tokens_total"
    from prometheus_client import generate_latest

    assert text in generate_latest(exporter.registry)


def test_models_past_the_cap_are_other() -> None:
    """An engine that serves any number of adapters does not make any number of series."""
    exporter = PrometheusExporter(max_label_values=2)
    totals = exporter._engine_totals
    totals.take(counts(), gpu(0.0))
    totals.take(counts(**{f"m{number}": (1, 0) for number in range(9)}), gpu(1.0))
    labels = {"engine": "vllm", "model": "other", "type": "input", "window": "several_models"}
    assert exporter.registry.get_sample_value(TOKENS, labels) == 7


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "http://u:p@x/metrics", " "])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """When the settings are made."""
    with pytest.raises(ConfigError, match="engine_metrics_url"):
        Config(engine_metrics_url=url)
