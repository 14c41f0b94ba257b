"""Makes the books of a device, with what was learned of it before, and gives what was learned."""

from __future__ import annotations

from inferprint._config import Config
from inferprint.attribution import Ledger
from inferprint.cpu_work import CpuWork
from inferprint.idle import IdlePower
from inferprint.learned import Learned
from inferprint.learning.learner import Learner
from inferprint.learning.usual import Ratio
from inferprint.records import Device, Reading
from inferprint.saved import SavedDevice
from inferprint.standing import idle_policy
from inferprint.weights import Weights

__all__ = ["learned_of", "ledger_of"]


def ledger_of(
    device: Device,
    reading: Reading | None,
    place: int,
    config: Config,
    saved: SavedDevice | None,
) -> Ledger:
    """The books of a device.

    Args:
        device: the device.
        reading: its first reading, as far as there is one.
        place: where an account's stakes have the one in it.
        config: the settings.
        saved: what was learned of it before.
    """
    idle = IdlePower(device, _idle_by_hand(config, device))
    policy = idle_policy(config.idle_policy, config.standing_horizon_s)
    ledger = Ledger(device, idle, policy, _weights(device, reading, place), place)
    _resume(ledger, saved)
    return ledger


def _weights(device: Device, reading: Reading | None, place: int) -> Weights:
    cpu = device.component != "gpu" and reading is not None and reading.own_s is not None
    return (CpuWork if cpu else Learned)(place, device.average_s)


def _learned(ledger: Ledger) -> Learned | None:
    weights = ledger.weights
    if isinstance(weights, CpuWork):
        return weights.learned
    return weights if isinstance(weights, Learned) else None


def _resume(ledger: Ledger, saved: SavedDevice | None) -> None:
    """Takes up what was learned of a device before."""
    if saved is None:
        return
    ledger.busy_w = saved.busy_w
    learned = _learned(ledger)
    if saved.work is not None and learned is not None:
        learned.learner = Learner(saved.work, saved.own_w, ledger.device.average_s)


def learned_of(ledger: Ledger) -> SavedDevice:
    """What has been learned of a device."""
    learned = _learned(ledger)
    if learned is None:
        return SavedDevice(ledger.device, None, Ratio(), ledger.busy_w)
    learner = learned.learner
    return SavedDevice(ledger.device, learner.model, learner.own_w, ledger.busy_w)


def _idle_by_hand(config: Config, device: Device) -> float | None:
    return {"gpu": config.gpu_idle_w, "cpu": config.cpu_idle_w}.get(device.component)
