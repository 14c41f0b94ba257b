"""A request through two deployments of Ray Serve: a receipt of each, and what it cost in all.

Run it: python examples/10_ray_serve.py (needs: pip install 'inferprint[ray]')
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence

import ray  # pyright: ignore[reportMissingImports]
from ray import serve  # pyright: ignore[reportMissingImports]
from ray.serve.handle import DeploymentHandle  # pyright: ignore[reportMissingImports]

import inferprint
from inferprint.agent import Agent
from inferprint.integrations.ray_serve import joined, track_deployment


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Writer:
    @track_deployment(tokens=lambda words: inferprint.Tokens(output=len(words)))
    def __call__(self, prompt: str) -> list[str]:
        return [str(pow(3, n, 1_000_003)) for n in range(300_000)][-8:]  # stands in for a model


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Chat:
    def __init__(self, writer: DeploymentHandle) -> None:
        self._writer = writer

    @track_deployment()
    async def __call__(self, prompt: str) -> str:
        return " ".join(await self._writer.remote(prompt))


class Kept(list[inferprint.Receipt]):  # an exporter; agents have a store for that
    name = "kept"

    def start(self, tracker: inferprint.Tracker) -> None: ...

    def export(self, receipts: Sequence[inferprint.Receipt]) -> None:
        self.extend(receipts)

    def close(self) -> None: ...


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray sends some otherwise
    kept, folder = Kept(), tempfile.TemporaryDirectory()
    variables = {"INFERPRINT_AGENT": f"{folder.name}/agent.sock"}
    with folder, Agent(socket=variables["INFERPRINT_AGENT"], exporters=[kept]):
        ray.init(runtime_env={"env_vars": variables}, include_dashboard=False, log_to_driver=False)
        app = Chat.bind(Writer.bind())  # type: ignore[attr-defined]
        print(serve.run(app).remote("What does it cost?").result())
        ray.shutdown()
    for whole in joined(kept).values():
        print(*whole.children, whole, whole.with_children(), sep="\n")
