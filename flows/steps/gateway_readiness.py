"""Wait until the gateways answer from the generations of arms, before a ramp moves users into these arms.

A gateway loads a generation when the experiment starts. Until then the users of the arm would get the control, and
the guardrail error_share would count their slates.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from prefect import get_run_logger

from flows.orchestration import store_step
from recsys.errors import ExperimentError
from recsys.store.redis.redis_registry import RedisProcessRegistry

WAIT_SECONDS = 300.0
"""The longest wait. A canary tries again a minute later."""

POLL_SECONDS = 0.5


@store_step
def wait_for_gateways(registry: RedisProcessRegistry, generations: Collection[str]) -> None:
    """Return when each gateway answers from the generations; ExperimentError if one refuses, or needs too long.

    Without a gateway there is nothing to wait for.
    """
    end, logged = time.monotonic() + WAIT_SECONDS, ""
    while behind := _behind(registry, generations):
        if time.monotonic() >= end:
            raise ExperimentError(f"{behind} The arms are as before; run this again later.")
        if behind != logged:
            get_run_logger().info("%s The ramp waits.", behind)
            logged = behind
        time.sleep(POLL_SECONDS)


def _behind(registry: RedisProcessRegistry, generations: Collection[str]) -> str:
    """A sentence about a gateway that does not answer from a generation yet; empty if there is none."""
    for process in registry.processes():
        for generation in sorted(generations):
            if why := process.refused.get(generation):
                raise ExperimentError(f"Generation {generation} was refused by {process.name}: {why}")
            if process.role == "gateway" and process.serving and generation not in process.serving:
                return f"{process.name} does not answer from generation {generation} yet."
    return ""
