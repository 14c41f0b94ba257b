"""When requests' tokens are taken to be computed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.learning.pace import Pace
from inferprint.learning.progress import Progress
from inferprint.learning.work import NO_WORK


def serve(
    pace: Pace, at_s: float, prompt: int = 100, output: int = 10, rate: float = 1000.0
) -> float:
    """One request that streams, its prompt at ``rate`` tokens a second; returns its end."""
    progress = Progress(pace, at_s)
    progress.tell(at_s, prompt=prompt)
    for step in range(output):
        told_s = at_s + prompt / rate + step * 0.02
        progress.tell(told_s, output=progress.output + 1)
    progress.end(told_s)
    return told_s


def test_prompt_is_worked_off_at_the_learned_rate() -> None:
    """Half-way to the expected first token, half of the prompt is done; then all of it."""
    pace = Pace()
    at_s = 0.0
    for _ in range(5):
        at_s = serve(pace, at_s) + 1
    progress = Progress(pace, at_s)
    progress.tell(at_s, prompt=400)
    pace.prompts.advance(at_s + 0.2)
    assert progress.work(at_s + 0.2).prompt == pytest.approx(200)
    pace.prompts.advance(at_s + 9)
    assert progress.work(at_s + 9).prompt == 400


def test_prompts_are_taken_in_turn() -> None:
    """Where first tokens come in order, the second prompt waits for the first."""
    pace = Pace()
    at_s = 0.0
    for _ in range(5):
        at_s = serve(pace, at_s) + 1
    first, second = Progress(pace, at_s), Progress(pace, at_s + 0.001)
    for progress in (first, second):
        progress.tell(at_s, prompt=300)
    pace.prompts.advance(at_s + 0.3)
    assert first.work(at_s + 0.3).prompt == pytest.approx(300)
    assert second.work(at_s + 0.3).prompt == pytest.approx(0, abs=1e-6)
    first.tell(at_s + 0.35, output=first.output + 1)
    pace.prompts.advance(at_s + 0.5)
    assert second.work(at_s + 0.5).prompt == pytest.approx(200)


def test_prompts_of_one_instant_are_worked_off_alike() -> None:
    """None of them is before the other: after half of the time of both, each is half done; one
    that is shorter is done first.
    """
    pace = Pace()
    at_s = 0.0
    for _ in range(5):
        at_s = serve(pace, at_s) + 1
    twins = [Progress(pace, at_s), Progress(pace, at_s)]
    short = Progress(pace, at_s)
    for progress, prompt in zip([*twins, short], (300, 300, 90), strict=True):
        progress.tell(at_s, prompt=prompt)
    pace.prompts.advance(at_s + 0.27)
    assert [one.work(at_s + 0.27).prompt for one in (*twins, short)] == pytest.approx([90] * 3)
    pace.prompts.advance(at_s + 0.39)
    assert [one.work(at_s + 0.39).prompt for one in twins] == pytest.approx([150] * 2)


def test_prompts_run_side_by_side_where_first_tokens_are_out_of_order() -> None:
    """Where long prompts are overtaken by short ones, each is worked off at its own rate."""
    pace = Pace()
    assert pace.prompts.serial
    at_s = 0.0
    for _ in range(10):
        long, short = Progress(pace, at_s), Progress(pace, at_s)
        long.tell(at_s, prompt=1000)
        short.tell(at_s, prompt=100)
        for progress, first_s in ((short, 0.1), (long, 1.0)):
            progress.tell(at_s + first_s, output=progress.output + 1)
            progress.tell(at_s + first_s + 0.02, output=progress.output + 1)
            progress.end(at_s + first_s + 0.02)
        at_s += 3
    assert not pace.prompts.serial
    long, other = Progress(pace, at_s), Progress(pace, at_s)
    long.tell(at_s, prompt=1000)
    other.tell(at_s, prompt=1000)
    pace.prompts.advance(at_s + 0.5)
    assert long.work(at_s + 0.5).prompt == pytest.approx(other.work(at_s + 0.5).prompt)


def test_silent_request_goes_at_the_usual_rate() -> None:
    """A request that tells at its end is taken to work all along, and then corrected."""
    pace = Pace()
    for start_s in range(0, 100, 10):
        silent = Progress(pace, float(start_s))
        silent.tell(start_s + 5.0, prompt=10, output=100)
        silent.end(start_s + 5.0)
    progress = Progress(pace, 200.0)
    pace.prompts.advance(202.0)
    assert progress.work(202.0).output == pytest.approx(40, rel=0.05)
    progress.tell(203.0, prompt=10, output=90)
    progress.end(203.0)
    assert progress.work(203.0).output == 90
    assert progress.corrections.output == pytest.approx(30, rel=0.05)


def test_what_was_done_before_it_was_first_told_is_not_new_work() -> None:
    """The first requests of a model that tell only as they end were not expected to work: what
    they tell is charged to them, and is not learned as the work of one window.
    """
    silent = Progress(Pace(), 0.0)
    silent.tell(20.0, prompt=10, output=700)
    silent.end(20.0)
    assert silent.work(20.0).output == 700
    assert silent.corrections.output == 700


def test_one_that_is_overtaken_is_silent() -> None:
    """Where prompts are taken in turn, a request whose successor has its first token must have
    had its own: from then on it is taken to work at the whole pace, and what it is taken to
    have done before is no new work.
    """
    pace = Pace()
    at_s = 0.0
    for number in range(8):
        at_s = serve(pace, at_s) + 1
        if number % 2:
            silent = Progress(pace, at_s)
            pace.prompts.advance(at_s + 5.0)
            silent.tell(at_s + 5.0, prompt=100, output=250)
            silent.end(at_s + 5.0)
            at_s += 6
    mute = Progress(pace, at_s)
    serve(pace, at_s + 0.1, output=2)
    rate = pace.output_rate.value
    assert rate is not None
    at_s += 0.3
    pace.prompts.advance(at_s)
    assert mute.worked_off_s is not None
    done, expected = mute.work(at_s).output, rate * (at_s - mute.worked_off_s)
    assert done == pytest.approx(expected)
    assert 0 < mute.corrections.output < expected


def test_the_pace_of_silent_requests_is_over_all_of_their_run() -> None:
    """Whether their prompts, told at the end, are longer or shorter than usual."""
    pace = Pace()
    for number in range(20):
        start_s = 10.0 * number
        silent = Progress(pace, start_s)
        pace.prompts.advance(start_s + 4.9)
        silent.tell(start_s + 5.0, prompt=10 + 100 * (number % 2), output=100)
        silent.end(start_s + 5.0)
    assert pace.output_rate.value == pytest.approx(20, rel=0.01)


def test_request_that_never_tells_has_no_work_until_a_pace_is_known() -> None:
    """With nothing told by any request of a model, there is no work to charge."""
    pace = Pace()
    progress = Progress(pace, 0.0)
    pace.prompts.advance(5.0)
    progress.end(5.0)
    assert progress.work(5.0) == NO_WORK


def test_prompts_told_at_the_end_do_not_make_outputs_faster() -> None:
    """Requests that tell all at their end, whose prompts differ: the usual rate is that of their
    output over their time.
    """
    pace = Pace()
    for i, prompt in enumerate((10, 500, 20, 900, 30)):
        progress = Progress(pace, 20.0 * i)
        pace.prompts.advance(20.0 * i + 9.95)
        progress.tell(20.0 * i + 10.0, prompt, 400)
        progress.end(20.0 * i + 10.0)
    assert pace.output_rate.value == pytest.approx(40.0)


def test_next_token_is_under_way_before_it_is_told() -> None:
    """Between two tokens, work goes on; it never runs more than one telling ahead."""
    progress = Progress(Pace(), 0.0)
    for at_s in (1.0, 1.1, 1.2):
        progress.tell(at_s, output=progress.output + 1)
    assert progress.work(1.25).output == pytest.approx(3.5)
    assert progress.work(9.0).output == 4


@given(
    st.lists(
        st.tuples(st.floats(0, 2), st.none() | st.integers(0, 500), st.integers(0, 50)), max_size=12
    ),
    st.booleans(),
)
def test_all_that_was_told_is_counted_in_the_end(
    tells: list[tuple[float, int | None, int]], tell_after_end: bool
) -> None:
    """Whatever the order and the gaps, an ended request's work is what it told, once."""
    pace = Pace()
    serve(pace, 0.0)
    progress = Progress(pace, 10.0)
    at_s = 10.0
    for gap_s, prompt, output in tells:
        at_s += gap_s
        pace.prompts.advance(at_s)
        progress.tell(
            at_s,
            None if prompt is None else (progress.told_prompt or 0) + prompt,
            progress.output + output,
        )
    if tell_after_end:
        progress.end(at_s)
        progress.tell(at_s + 1, (progress.told_prompt or 0) + 7, progress.output + 3)
    else:
        progress.end(at_s)
    told = sum(output for *_, output in tells) + 3 * tell_after_end
    if told:
        assert progress.work(at_s + 2).output == told
        prompts = [prompt for _, prompt, _ in tells if prompt is not None] + [7] * tell_after_end
        if prompts:
            assert progress.work(at_s + 2).prompt == sum(prompts)


def test_pace_survives_a_restart() -> None:
    """A pace taken from its state expects what the first one expected."""
    pace = Pace()
    for start_s in range(5):
        serve(pace, float(start_s))
    again = Pace.from_state(pace.state())
    assert again.state() == pace.state()
    assert again.prompts.rate == pytest.approx(1000, rel=1e-6)
