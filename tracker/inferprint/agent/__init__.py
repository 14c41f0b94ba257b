"""The host's agent: one process that owns the devices and keeps the books for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferprint.agent.server import Agent

__all__ = ["Agent"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: a worker has no part of it.
    if name == "Agent":
        from inferprint.agent.server import Agent

        return Agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
