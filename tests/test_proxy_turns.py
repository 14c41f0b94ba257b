"""Exchanges that come together go on one by one."""

from __future__ import annotations

import asyncio

from inferprint.proxy.turns import Turns


async def _rounds_of(turns: Turns, names: str) -> list[tuple[str, int]]:
    """Who passed in which round of the loop."""
    passed: list[tuple[str, int]] = []
    number = 0

    async def one(name: str) -> None:
        await turns.mine()
        passed.append((name, number))

    tasks = [asyncio.ensure_future(one(name)) for name in names]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        number += 1
    return passed


async def test_one_passes_in_a_round_in_the_order_of_coming() -> None:
    """Those that come in one round pass in as many rounds as they are, the first first."""
    passed = await _rounds_of(Turns(), "abcde")
    assert [name for name, _ in passed] == list("abcde")
    assert len({number for _, number in passed}) == 5


async def test_one_alone_does_not_wait() -> None:
    """A turn that nobody else wants takes no round of the loop."""
    turns = Turns()
    waiting = turns.mine()
    try:
        waiting.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")


async def test_who_has_gone_holds_nobody_up() -> None:
    """One that is cancelled while it waits is passed over."""
    turns = Turns()
    tasks = [asyncio.ensure_future(turns.mine()) for _ in range(4)]
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [True, False, False, False]
    tasks[1].cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(tasks[2], tasks[3])
    assert tasks[1].cancelled()
