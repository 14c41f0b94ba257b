"""Many requests at once: their receipts add up to the books of the devices.

Run it: python examples/04_asyncio.py
"""

from __future__ import annotations

import asyncio

import inferprint

CLIENTS = 20


async def answer(tracker: inferprint.Tracker, words: int) -> inferprint.Receipt:
    """One request of some words, in flight together with the others."""
    async with tracker.request(model="demo-model") as request:
        request.add_tokens(input=5)
        for _ in range(words):
            sum(pow(3, n, 1_000_003) for n in range(5_000))
            request.add_tokens(output=1)
            await asyncio.sleep(0)
    return await request.settled()


async def main() -> None:
    with inferprint.Tracker() as tracker:
        receipts = await asyncio.gather(*(answer(tracker, 5 + n) for n in range(CLIENTS)))
        balance = tracker.balance()

    for receipt in receipts[:3]:
        print(receipt)
    print(f"... and {len(receipts) - 3} more")

    charged_j = sum(
        device.requests_active_j + device.requests_idle_j + device.requests_standing_j
        for device in balance.devices.values()
    )
    receipts_j = sum(float(receipt.energy.total_j or 0.0) for receipt in receipts)
    print(f"receipts add up to    {receipts_j:10.3f} J")
    print(f"books say             {charged_j:10.3f} J were charged to requests")
    print(f"the meters counted    {sum(d.measured_j for d in balance.devices.values()):10.3f} J")
    print(f"the books close to    {balance.closure_error:10.1e}")


if __name__ == "__main__":
    asyncio.run(main())
