"""transformers, tracked: the real package on small models of random weights, on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import inferprint
from inferprint import Tokens, Tracker
from inferprint.integrations.transformers import track_model
from rig import Kept, live
from support import require_module

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(300),
    # The package's own, of the versions of what it is built on.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
INSTALL = "pip install 'inferprint[large]'"
PROMPT = [[5, 6, 7, 8, 9]]
NEW = 6


@pytest.fixture(scope="module")
def torch() -> Any:
    require_module("transformers", INSTALL)
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # else it starts a thread that never ends
    return require_module("torch", INSTALL)


@pytest.fixture
def llama(torch: Any) -> Any:
    """A Llama of two layers."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def tracker(kept: Kept) -> Iterator[Tracker]:
    with live(exporters=[kept]) as tracker:
        yield tracker


@pytest.fixture
def model(llama: Any, tracker: Tracker) -> Any:
    return track_model(llama, name="tiny", tracker=tracker, labels={"app": "chat"})


def settled(tracker: Tracker, kept: Kept) -> Any:
    """The only receipt that there was."""
    assert tracker.flush(5.0)
    (receipt,) = kept.receipts
    return receipt


def test_a_call_of_generate_has_a_receipt(
    torch: Any, model: Any, tracker: Tracker, kept: Kept
) -> None:
    """Its tokens, the time to its first one, and energy; the output is what it is without us."""
    prompt = torch.tensor(PROMPT)
    expected = type(model).generate(model, prompt, max_new_tokens=NEW, do_sample=False)
    found = model.generate(prompt, max_new_tokens=NEW, do_sample=False)
    assert torch.equal(found, expected)
    receipt = settled(tracker, kept)
    assert (receipt.model, receipt.tokens, receipt.outcome) == ("tiny", Tokens(5, None, NEW), "ok")
    assert receipt.labels == {"app": "chat"}
    assert 0 < receipt.time_to_first_token_s < receipt.duration_s
    assert float(receipt.energy.total_j) > 0


def test_tokens_are_told_while_it_runs(torch: Any, model: Any) -> None:
    """A step at a time, so that a window in which it runs knows of them."""
    seen: list[int | None] = []

    def look(input_ids: Any, scores: Any, **_: Any) -> Any:
        request = inferprint.current()
        seen.append(None if request is None else request.tokens.output)
        return input_ids.new_zeros(input_ids.shape[0], dtype=torch.bool)

    model.generate(torch.tensor(PROMPT), max_new_tokens=4, stopping_criteria=[look])
    assert seen == [None, 1, 2, 3]  # what looks comes before what tells


def test_padding_is_no_token(torch: Any, model: Any, tracker: Tracker, kept: Kept) -> None:
    """Neither what fills a batch up on the left, nor what follows the end of a row."""
    prompt = torch.tensor([[0, 0, 5, 6], [1, 2, 3, 4]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    ask: dict[str, Any] = {"attention_mask": mask, "max_new_tokens": 8, "do_sample": False}
    free = type(model).generate(model, prompt, **ask)[:, 4:]
    end = int(free[0, 1])
    model.generation_config.eos_token_id = end
    found = model.generate(prompt, **ask)[:, 4:]
    rows = [row.tolist() for row in found]
    expected = sum(row.index(end) + 1 if end in row else len(row) for row in rows)
    assert expected < found.numel()
    assert settled(tracker, kept).tokens == Tokens(6, None, expected)


@pytest.mark.parametrize(
    ("ask", "rows"),
    [
        ({"num_return_sequences": 3, "do_sample": True}, 3),
        ({"num_beams": 3, "do_sample": False}, 1),
        ({"return_dict_in_generate": True, "output_scores": True}, 1),
        ({"use_cache": False}, 1),
    ],
    ids=["sequences", "beams", "dict", "no-cache"],
)
def test_every_way_to_decode(
    torch: Any, model: Any, tracker: Tracker, kept: Kept, ask: dict[str, Any], rows: int
) -> None:
    """What is counted in the end is what came out."""
    model.generate(torch.tensor(PROMPT), max_new_tokens=NEW, **ask)
    assert settled(tracker, kept).tokens == Tokens(5, None, rows * NEW)


def test_a_model_that_encodes_first(torch: Any, tracker: Tracker, kept: Kept) -> None:
    """Its output begins after the token that starts the decoder."""
    from transformers import T5Config, T5ForConditionalGeneration

    shape = {"d_model": 16, "d_ff": 32, "d_kv": 8, "num_layers": 1, "num_heads": 2}
    config = T5Config(vocab_size=32, decoder_start_token_id=0, eos_token_id=None, **shape)
    model = track_model(T5ForConditionalGeneration(config).eval(), tracker=tracker)
    model.generate(torch.tensor(PROMPT), max_new_tokens=NEW)
    receipt = settled(tracker, kept)
    assert receipt.tokens == Tokens(5, None, NEW)
    assert receipt.model == "T5ForConditionalGeneration"


def test_a_streamer_gets_what_it_gets_without_us(
    torch: Any, model: Any, tracker: Tracker, kept: Kept
) -> None:
    """The prompt and each token in turn, from another thread too."""

    class Streamer:
        def __init__(self) -> None:
            self.pieces: list[list[int]] = []

        def put(self, value: Any) -> None:
            self.pieces.append(value.flatten().tolist())

        def end(self) -> None:
            self.pieces.append([])

    bare, ours = Streamer(), Streamer()
    ask: dict[str, Any] = {"max_new_tokens": NEW, "do_sample": False}
    type(model).generate(model, torch.tensor(PROMPT), streamer=bare, **ask)
    call = threading.Thread(
        target=model.generate, args=(torch.tensor(PROMPT),), kwargs={"streamer": ours, **ask}
    )
    call.start()
    call.join()
    assert ours.pieces == bare.pieces
    assert len(ours.pieces) == NEW + 2
    assert settled(tracker, kept).tokens == Tokens(5, None, NEW)


def test_an_exception_passes_through(torch: Any, model: Any, tracker: Tracker, kept: Kept) -> None:
    """As it is, from inside the model's loop; the receipt is one of an error."""

    class Gone(Exception):
        pass

    def fail(input_ids: Any, scores: Any, **_: Any) -> Any:
        raise Gone

    with pytest.raises(Gone):
        model.generate(torch.tensor(PROMPT), max_new_tokens=NEW, stopping_criteria=[fail])
    receipt = settled(tracker, kept)
    assert receipt.outcome == "error"
    assert receipt.tokens.input == 5


def test_a_keyboard_interrupt_is_a_cancellation(
    torch: Any, model: Any, tracker: Tracker, kept: Kept
) -> None:
    """It comes through to the user."""

    def interrupt(input_ids: Any, scores: Any, **_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.generate(torch.tensor(PROMPT), max_new_tokens=NEW, stopping_criteria=[interrupt])
    assert settled(tracker, kept).outcome == "cancelled"


def test_overlapping_calls_share_the_energy(
    torch: Any, model: Any, tracker: Tracker, kept: Kept
) -> None:
    """Three threads: three receipts, which do not add up to more than the meter."""
    calls = [
        threading.Thread(
            target=model.generate, args=(torch.tensor(PROMPT),), kwargs={"max_new_tokens": 60}
        )
        for _ in range(3)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert tracker.flush(5.0)
    assert [one.tokens.output for one in kept.receipts] == [60] * 3
    balance = tracker.balance()
    (device,) = balance.devices.values()
    total_j = sum(float(one.energy.total_j or 0) for one in kept.receipts)
    assert 0 < total_j <= device.measured_j * (1 + 1e-9)
    assert balance.closure_error < 1e-9


def batching() -> Any:
    from transformers import ContinuousBatchingConfig

    return ContinuousBatchingConfig(
        page_size=16, num_blocks=32, max_batch_tokens=64, auto_switch_to_flash=False
    )


def greedy() -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=NEW)


def test_a_batch_has_a_receipt_for_each_prompt(
    torch: Any, model: Any, tracker: Tracker, kept: Kept
) -> None:
    """``generate_batch`` on the CPU: each prompt's own tokens, and all replies as they were."""
    prompts = [[1, 2, 3], [4, 5, 6, 7], [8, 9]]
    found = model.generate_batch(
        prompts, generation_config=greedy(), continuous_batching_config=batching()
    )
    assert [len(one.generated_tokens) for one in found.values()] == [NEW] * 3
    assert tracker.flush(5.0)
    tokens = {(one.tokens.input, one.tokens.output) for one in kept.receipts}
    assert tokens == {(3, NEW), (4, NEW), (2, NEW)}
    assert {one.outcome for one in kept.receipts} == {"ok"}
    assert {one.time_to_first_token_s for one in kept.receipts} == {None}


def test_a_batch_of_several_sequences(torch: Any, model: Any, tracker: Tracker, kept: Kept) -> None:
    """A prompt that is answered twice is one request, with the tokens of both."""
    config = greedy()
    config.do_sample, config.num_return_sequences = True, 2
    model.generate_batch(
        [[1, 2, 3]], generation_config=config, continuous_batching_config=batching()
    )
    assert settled(tracker, kept).tokens == Tokens(3, None, 2 * NEW)


def test_requests_that_stream_out_of_a_batch(
    torch: Any, model: Any, tracker: Tracker, kept: Kept
) -> None:
    """The first token's time is taken; one that is cancelled is so on its receipt."""
    with model.continuous_batching_context_manager(
        generation_config=greedy(), continuous_batching_config=batching(), timeout=30.0
    ) as manager:
        name = manager.add_request([1, 2, 3], max_new_tokens=NEW, streaming=True)
        assert name is not None
        left = manager.add_request([4, 5], max_new_tokens=500, streaming=True)
        reply = None
        while reply is None or not reply.is_finished():
            reply = manager.get_result(request_id=name, timeout=1)
        manager.cancel_request(left)
    assert len(reply.generated_tokens) == NEW
    assert tracker.flush(5.0)
    found = {one.tokens.input: one for one in kept.receipts}
    assert found[3].tokens == Tokens(3, None, NEW)
    assert found[3].time_to_first_token_s is not None
    assert found[2].outcome == "cancelled"
    assert len(found) == 2


def test_what_is_no_model_is_refused(tracker: Tracker) -> None:
    """The error says what it was given."""
    with pytest.raises(TypeError, match="expected a model with a method generate"):
        track_model("gpt2", tracker=tracker)


class Broken:
    """A tracker that fails at whatever it is asked for."""

    reads_cpu = False

    def __init__(self) -> None:
        self.faults: list[str] = []

    def request(self, *_: Any, **__: Any) -> Any:
        raise ValueError("broken")

    def fault(self, where: str, error: BaseException) -> None:
        self.faults.append(where)


def test_a_broken_tracker_fails_no_call(torch: Any, llama: Any) -> None:
    """Alone and in a batch, the tokens come; the faults are counted."""
    broken: Any = Broken()
    model = track_model(llama, tracker=broken)
    assert model.generate(torch.tensor(PROMPT), max_new_tokens=NEW).shape == (1, 5 + NEW)
    found = model.generate_batch(
        [[1, 2]], generation_config=greedy(), continuous_batching_config=batching()
    )
    assert len(found) == 1
    assert broken.faults == ["integration transformers"] * 2
