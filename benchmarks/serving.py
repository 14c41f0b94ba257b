"""What tracking takes from a real server of a transformers model under load."""

from __future__ import annotations

import asyncio
import time
from importlib.util import find_spec
from statistics import median

import httpx

from benchmarks._report import Report, main
from benchmarks._rig import start

CLIENTS = 4
PROMPT = [n % 500 for n in range(64)]
TOKENS = 32
TURN_S = 4.0
TIMEOUT_S = 60.0


async def turn(client: httpx.AsyncClient, seconds: float) -> tuple[float, float]:
    """Loads the server for so long: output tokens a second, and CPU seconds a thousand tokens."""
    tokens = 0
    until_s = time.monotonic() + seconds
    began_s, cpu_s = time.monotonic(), await _cpu_s(client)

    async def ask() -> None:
        nonlocal tokens
        while time.monotonic() < until_s:
            body = {"prompt": PROMPT, "max_tokens": TOKENS}
            reply = (await client.post("/v1/completions", json=body)).raise_for_status()
            tokens += reply.json()["usage"]["completion_tokens"]

    await asyncio.gather(*(ask() for _ in range(CLIENTS)))
    passed_s = time.monotonic() - began_s
    return tokens / passed_s, (await _cpu_s(client) - cpu_s) / tokens * 1000


async def _cpu_s(client: httpx.AsyncClient) -> float:
    return float((await client.get("/cpu")).raise_for_status().json()["cpu_s"])


async def compare(url: str, rounds: int, seconds: float) -> Report:
    """Turns with and without tracking, each round in the other order than the one before."""
    ratios, cpu_ratios = list[float](), list[float]()
    rates = {"on": list[float](), "off": list[float]()}
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        await turn(client, min(2.0, seconds))
        for number in range(rounds):
            found = {}
            for state in ("on", "off") if number % 2 else ("off", "on"):
                (await client.post(f"/tracking/{state}")).raise_for_status()
                found[state] = await turn(client, seconds)
                rates[state].append(found[state][0])
            ratios.append(found["on"][0] / found["off"][0])
            cpu_ratios.append(found["on"][1] / found["off"][1])
        (await client.post("/tracking/off")).raise_for_status()
    return {
        "tokens_per_s": median(rates["off"]),
        "tracked_tokens_per_s": median(rates["on"]),
        "tracked_over_untracked": median(ratios),
        "lost_percent": (1 - median(ratios)) * 100,
        "cpu_tracked_over_untracked": median(cpu_ratios),
        "rounds": rounds,
    }


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is.

    Raises:
        SystemExit: torch or transformers is missing.
    """
    for module in ("torch", "transformers"):
        if find_spec(module) is None:
            raise SystemExit(f"{module} is missing: pip install 'inferprint[large,examples]'")
    with start("_serving_server") as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            return asyncio.run(compare(url, 3 if quick else 30, 1.0 if quick else TURN_S))
        finally:
            server.stdin.close()


if __name__ == "__main__":
    main(__doc__, measure)
