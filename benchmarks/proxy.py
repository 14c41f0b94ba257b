"""What the proxy adds to a request, beside the same request without it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median, quantiles

import aiohttp
import psutil

from benchmarks._report import Report, main
from benchmarks._rig import REPO

MB = 1e6
PATH = "/v1/chat/completions"
ASK = json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": "What does this cost? " * 10}]}
).encode()
CLIENTS = 64
DELAY_MS = 100
LARGE_MB = 100
PART = b"x" * 65_536
SENT = re.compile(rb"@(\d+)@")
ENVIRONMENT = {"INFERPRINT_SOURCES": "cpu_model", "INFERPRINT_LOCATION": "FRA"}


@contextmanager
def process(*arguments: str) -> Iterator[tuple[int, str]]:
    """A server of this interpreter; its process id, and the first line that it prints."""
    started = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=REPO,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    try:
        yield started.pid, started.stdout.readline().strip()
    finally:
        started.terminate()
        started.wait(20)
        started.stdout.close()


Urls = Mapping[str, str]


async def ask(client: aiohttp.ClientSession, url: str) -> float:
    """Milliseconds of one request."""
    began_s = time.perf_counter()
    async with client.post(url, data=ASK, headers={"content-type": "application/json"}) as reply:
        await reply.read()
        reply.raise_for_status()
    return (time.perf_counter() - began_s) * 1e3


async def latencies(client: aiohttp.ClientSession, urls: Urls, rounds: int) -> Report:
    """One request after the other, proxied and direct in turns."""
    taken: dict[str, list[float]] = {name: [] for name in urls}
    for number in range(rounds + 50):
        for name, url in urls.items():
            milliseconds = await ask(client, url + PATH)
            if number >= 50:
                taken[name].append(milliseconds)
    return {
        "direct_p50_ms": percentile(taken["direct"], 50),
        "added_p50_ms": percentile(taken["proxied"], 50) - percentile(taken["direct"], 50),
        "added_p99_ms": percentile(taken["proxied"], 99) - percentile(taken["direct"], 99),
    }


async def chunk_delays(client: aiohttp.ClientSession, urls: Urls, rounds: int) -> Report:
    """How long chunks are under way, by the time that is written into each."""
    taken: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            async with client.post(f"{url}{PATH}?chunks=100", data=ASK) as reply:
                async for data, _ in reply.content.iter_chunks():
                    now_ns = time.monotonic_ns()
                    taken[name] += [(now_ns - int(sent)) / 1e6 for sent in SENT.findall(data)]
    return {
        "added_per_chunk_p50_ms": median(taken["proxied"]) - median(taken["direct"]),
        "added_per_chunk_p99_ms": percentile(taken["proxied"], 99)
        - percentile(taken["direct"], 99),
    }


async def throughput(client: aiohttp.ClientSession, url: str, requests: int) -> float:
    """Requests a second of all clients together, which do not all begin at the same time."""

    async def one(number: int) -> float:
        await asyncio.sleep(number * DELAY_MS / 1e3 / CLIENTS)
        began_s = time.perf_counter()
        for _ in range(each):
            await ask(client, url)
        return each / (time.perf_counter() - began_s)

    each = requests // CLIENTS
    return sum(await asyncio.gather(*map(one, range(CLIENTS))))


async def slow_upstream(client: aiohttp.ClientSession, urls: Urls, quick: bool) -> Report:
    """64 clients at an upstream that answers in 100 ms, in turns."""
    ratios, rates = [], []
    for _ in range(1 if quick else 5):
        each = {
            name: await throughput(
                client, f"{url}{PATH}?delay={DELAY_MS}", (5 if quick else 30) * CLIENTS
            )
            for name, url in urls.items()
        }
        ratios.append(each["proxied"] / each["direct"])
        rates.append(each["proxied"])
    return {"slow_upstream_per_s": median(rates), "slow_upstream_over_direct": median(ratios)}


async def instant_upstream(
    client: aiohttp.ClientSession, url: str, pid: int, rounds: int, requests: int
) -> Report:
    """64 clients at an upstream that answers at once: requests by the proxy's CPU time, which is
    what one core of its own would serve, whoever else is on this machine.
    """
    watched, rates, cpu = psutil.Process(pid), [], []
    for _ in range(rounds):
        before = watched.cpu_times()
        rates.append(await throughput(client, url + PATH, requests))
        after = watched.cpu_times()
        cpu.append(requests / (after.user + after.system - before.user - before.system))
    return {"instant_upstream_per_s": median(rates), "per_core_second": median(cpu)}


async def memory(client: aiohttp.ClientSession, url: str, pid: int, requests: int) -> Report:
    """What 100,000 requests leave, and what a body of 100 MB takes each way."""
    watched = psutil.Process(pid)
    await throughput(client, url + PATH, requests // 5)
    await asyncio.sleep(1)
    before_mb = watched.memory_info().rss / MB
    await throughput(client, url + PATH, requests)
    await asyncio.sleep(1)
    after_mb = watched.memory_info().rss / MB
    async with peak(pid) as up, client.post(url + PATH, data=large()) as reply:
        await reply.read()
    path = f"{PATH}?megabytes={LARGE_MB}"
    async with peak(pid) as down, client.post(url + path, data=ASK) as reply:
        async for _ in reply.content.iter_any():
            pass
    return {
        "requests": requests,
        "growth_mb": after_mb - before_mb,
        "large_request_mb": up[0],
        "large_reply_mb": down[0],
    }


async def large() -> AsyncIterator[bytes]:
    """A body of 100 MB."""
    yield b'{"model":"m","messages":[{"role":"user","content":"'
    for _ in range(round(LARGE_MB * MB) // len(PART)):
        yield PART
    yield b'"}]}'


class peak:  # noqa: N801 - it is used like a function
    """By how much a process's resident memory grows at most, in megabytes."""

    def __init__(self, pid: int) -> None:
        self._watched = psutil.Process(pid)
        self._grown = [0.0]

    async def __aenter__(self) -> Sequence[float]:
        self._before = self._watched.memory_info().rss
        self._task = asyncio.create_task(self._watch())
        return self._grown

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            grown = (self._watched.memory_info().rss - self._before) / MB
            self._grown[0] = max(self._grown[0], grown)
            await asyncio.sleep(0.005)


def percentile(values: Sequence[float], part: int) -> float:
    """The value below which so many of a hundred lie."""
    return quantiles(values, n=100)[part - 1]


async def run(urls: Urls, pid: int, quick: bool) -> Report:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client:
        return {
            **await latencies(client, urls, 300 if quick else 3000),
            **await chunk_delays(client, urls, 2 if quick else 10),
            **await slow_upstream(client, urls, quick),
            **await instant_upstream(client, urls["proxied"], pid, 3, 1280 if quick else 6400),
            **await memory(client, urls["proxied"], pid, 1280 if quick else 100_000),
        }


def measure(quick: bool) -> Report:
    """The report; the README says what each figure is."""
    with process("benchmarks._proxy_upstream") as (_, port):
        direct = f"http://127.0.0.1:{port}"
        proxy = ("inferprint", "proxy", "--upstream", direct, "--port", "0", "--json")
        with process(*proxy) as (pid, line):
            urls = {"direct": direct, "proxied": json.loads(line)["listening"]}
            return asyncio.run(run(urls, pid, quick))


if __name__ == "__main__":
    main(__doc__, measure)
