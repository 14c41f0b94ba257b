"""What the simulated servers are made of, and where each number comes from.

The power law is P = idle + g(F + w): F watts while anyone runs, w the requests' own work,
g(x) = cap (1 - exp(-x / cap)), or g(x) = x without a cap.

From the ML.ENERGY leaderboard v3 (data of 2026-02-27, chat, J per output token on H100),
fitted as step energy F_J + k b over the batch b:

- Llama-3.1-8B on one H100: 0.455 J at batch 8, 0.0702 J at 512, so F_J = 3.16, k = 0.0665.
- Llama-3.1-70B on four H100: 3.76 J at batch 8, 0.373 J at 1024, so F_J = 27.4, k = 0.360.

An H100 with a CUDA context and no request draws 121.7 W (arXiv 2605.23918). F in watts is
F_J over the step's seconds at batch 1, less that. A step at batch 1 reads the weights once:
16 GB at 3.35 TB/s and overheads, 5.5 ms. Steps grow with the batch so that the best batch
of the row draws about 680 W.

A prompt token's own work is scaled from the roofline figure for a 123B model in FP8 on two
H200 (0.26 J a prompt token), by parameters and by two for 16 bits: 0.034 J for the 8B, less
F and idle over its 25 us, which leaves 0.02 J.
A token's energy grows 2.26 times from 1k to 16k of context (same leaderboard's paper);
`context_j` spreads that growth of k over 15,000 tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

H100_IDLE_W = 121.7
# NVIDIA's data sheet of the H100 SXM, maximum thermal design power.
BOARD_LIMIT_W = 700.0


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """One model on one device group, and how fast it runs.

    Args:
        name: the model's name.
        fixed_w: F, watts while anyone runs.
        prompt_j, output_j: own work of a token that is computed (cached ones have none).
        context_j: own work of an output token per token of its context.
        step_s: seconds of a step with nothing in it.
        step_per_request_s: what each decoding request adds to it.
        step_per_prompt_token_s: what each prompt token in it adds to it.
        chunk_tokens: prompt tokens that a step takes at most.
    """

    name: str
    fixed_w: float
    prompt_j: float
    output_j: float
    context_j: float
    step_s: float
    step_per_request_s: float
    step_per_prompt_token_s: float
    chunk_tokens: int = 512


LLAMA_8B = Engine("llama-8b", 3.16 / 0.0055 - H100_IDLE_W, 0.020, 0.0665, 0.0, 0.0055, 93e-6, 25e-6)

# The same work at a steady cadence of 40 tokens a second, as a server with room to spare
# that is held to a latency target: F is spread over 25 ms, and steps hardly grow.
PACED_8B = Engine("paced-8b", 3.16 / 0.025, 0.020, 0.0665, 0.0, 0.025, 5e-6, 5e-6, 2048)
# Own work scaled by its parameters, 3.2 / 8.
PACED_3B = Engine("paced-3b", 3.16 / 0.025, 0.008, 0.0266, 0.0, 0.025, 5e-6, 5e-6, 2048)
# A tensor-parallel pair of which each board does what one of the row's four does, at 25
# tokens a second; a prompt token's work is that of the 8B scaled by parameters.
PACED_70B_PAIR = Engine(
    "paced-70b", 27.4 / 0.040 / 2, 0.020 * 70 / 8 / 2, 0.360 / 2, 0.0, 0.040, 5e-6, 5e-6, 2048
)


def with_context(engine: Engine) -> Engine:
    """The same with work that grows with the context: times 2.26 over 15,000 tokens."""
    return replace(engine, context_j=1.26 * engine.output_j / 15_000)


@dataclass(frozen=True, slots=True)
class Device:
    """The power of the boards that a server runs on, of which each does the same.

    Args:
        idle_w: of a board with the models resident and nothing running.
        cap_w: what a board's active power tends to. Infinite: power is affine.
        boards: how many there are.
    """

    idle_w: float
    cap_w: float = math.inf
    boards: int = 1

    def active_w(self, drive_w: float) -> float:
        """g: the active power, on all boards together, of fixed and own work."""
        if math.isinf(self.cap_w):
            return drive_w
        cap_w = self.cap_w * self.boards
        return -cap_w * math.expm1(-drive_w / cap_w)


@dataclass(frozen=True, slots=True)
class CoTenant:
    """Another process on the same boards, which comes and goes; figures of ours, of no source.

    Its power adds to the server's, so the server's must be affine.

    Args:
        active_w: what it draws on each board while it is on.
        mean_s: mean of the exponentially distributed stretches for which it is on, and off.
        told: whether the driver tells how much each process uses of a board.
    """

    active_w: float = 150.0
    mean_s: float = 10.0
    told: bool = True
