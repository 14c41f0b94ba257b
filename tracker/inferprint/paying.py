"""Pays requests for their own work in a window, and notes how far off that may be.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from inferprint.doubts import Noise
from inferprint.learning.own import Own
from inferprint.stakes import Stake


def pay_alike(own: Own[Stake], joules: float, noise: Noise) -> float:
    """Pays by weights that are taken as exact; returns what it came to.

    Args:
        own: the requests and their weights.
        joules: that a weight of one comes to.
        noise: of the window.
    """
    paid_j = 0.0
    for stake, weight in zip(own.keys, own.weights, strict=True):
        own_j = weight * joules
        stake.active_j += own_j
        paid_j += own_j
        part = own_j / noise.charged_j
        stake.noise_j2 += part * (part + 2 * noise.shared_part) * noise.variance_j2
    return paid_j


def pay_work(own: Own[Stake], joules: float, noise: Noise) -> float:
    """Pays for tokens, whose weights were learned; as for ``pay_alike``."""
    paid_j = 0.0
    variance_j2, shared_part, charged_j = noise
    twice_shared, error = 2 * shared_part, own.error
    prompt_j, alike = own.prompt_j * joules, error[2:]
    prompt_error_j, output_error_j = error.prompt_j * joules, error.output_j * joules
    columns = zip(own.keys, own.weights, own.prompts, own.outputs, strict=True)
    for stake, weight, prompt, output in columns:
        own_j = weight * joules
        paid_j += own_j
        stake.own_j += own_j
        part = own_j / charged_j
        stake.noise_j2 += part * (part + twice_shared) * variance_j2
        if prompt:
            if prompt > 0:
                stake.own_prompt_j += prompt * prompt_j
            stake.prompt_error_j += prompt * prompt_error_j
        if output:
            stake.output_error_j += output * output_error_j
        stake.errors_alike = alike
    return paid_j
