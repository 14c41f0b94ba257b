"""Replays coalitions of requests against an engine, under a tracker and a meter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.gpu_truth.counter import Meter, edge
from benchmarks.gpu_truth.findings import Replay
from benchmarks.gpu_truth.marks import Mark, active_j, mean_w, seconds
from benchmarks.gpu_truth.model import Engine
from benchmarks.gpu_truth.plan import Plan, Player
from benchmarks.gpu_truth.shapley import Coalition
from inferprint import Range, Request, Tracker

MODEL = "random-llama"
RECEIPT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Stage:
    """What every replay needs."""

    plan: Plan
    engine: Engine
    meter: Meter
    tracker: Tracker


async def replay_all(stage: Stage, tell: Callable[[str], None]) -> list[Replay]:
    """All replays of the plan, one after the other, a quiet time around each.

    Args:
        stage: what they need.
        tell: is told of the progress.
    """
    plan = stage.plan
    await one_round(stage, plan.everyone, plan.offsets_s(-1, 0))  # first calls compile and allocate
    await asyncio.sleep(plan.settle_s)
    quiet = edge(stage.meter), await _edge_after(stage.meter, plan.quiet_s)
    replays: list[Replay] = []
    wanted = plan.replays()
    for number, (draw, coalition) in enumerate(wanted, 1):
        replay, quiet = await _replay(stage, draw, coalition, quiet)
        replays.append(replay)
        tell(f"{number} of {len(wanted)}: {len(coalition)} requests, {replay.energy_j:.4g} J")
    return replays


async def _replay(
    stage: Stage, draw: int, coalition: Coalition, quiet: tuple[Mark, Mark]
) -> tuple[Replay, tuple[Mark, Mark]]:
    """A replay, and the quiet time after it."""
    plan, meter = stage.plan, stage.meter
    first, began_s = edge(meter), time.monotonic()
    rounds: list[dict[int, Request]] = []
    while not rounds or time.monotonic() - began_s < plan.least_s:
        offsets_s = plan.offsets_s(draw, len(rounds))
        rounds.append(await one_round(stage, coalition, offsets_s))
    last = await _edge_after(meter, plan.settle_s)
    after = last, await _edge_after(meter, plan.quiet_s)
    idle_w = (mean_w(*quiet) + mean_w(*after)) / 2
    replay = Replay(
        draw,
        coalition,
        len(rounds),
        seconds(first, last),
        active_j(first, last, idle_w) / len(rounds),
        idle_w,
        {i: [_active(each[i], meter.component) for each in rounds] for i in coalition},
    )
    return replay, after


async def one_round(
    stage: Stage, coalition: Coalition, offsets_s: Sequence[float]
) -> dict[int, Request]:
    """Each member's request once; the first one starts at once."""
    earliest_s = min(offsets_s[member] for member in coalition)
    async with asyncio.TaskGroup() as group:
        tasks = {
            member: group.create_task(
                _serve(stage, stage.plan.players[member], offsets_s[member] - earliest_s)
            )
            for member in coalition
        }
    return {member: task.result() for member, task in tasks.items()}


async def _serve(stage: Stage, player: Player, offset_s: float) -> Request:
    await asyncio.sleep(offset_s)
    async with stage.tracker.request(model=MODEL, labels={"player": player.name}) as request:
        request.add_tokens(input=player.input_tokens)
        async for tokens in stage.engine.stream(player.input_tokens, player.output_tokens):
            request.add_tokens(output=tokens)
    return request


async def _edge_after(meter: Meter, seconds_: float) -> Mark:
    await asyncio.sleep(seconds_)
    return edge(meter)


def _active(request: Request, component: str) -> Range | None:
    energy = request.receipt(RECEIPT_TIMEOUT_S).energy.by_component.get(component)
    return None if energy is None else energy.active_j
