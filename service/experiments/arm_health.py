"""The watch of a gateway over the arms of experiments: an arm that fails is halted, and its users get the control.

An arm fails if a process refuses its generation, or if many of its slates in a row end with an error. It also fails if
its generation lacks retrieval or ranking for seconds while the live one has both.
"""

from __future__ import annotations

import asyncio
import time

from recsys.experiments.definition import CONTROL
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from service.generations import warm_up
from service.generations.switcher import GenerationSwitcher
from service.recommend.pipeline import Pipeline
from service.telemetry.periodic import repeat

AWAY_SECONDS = 5.0
"""How long the generation of an arm may lack a stage that the live one has: a restarted backend loads `live` first."""

ERRORS = 20
"""Errors in a row after which an arm is halted, if the control has none."""

CHECK_SECONDS = 1.0

TEST_SECONDS = 1.0
"""The deadline of a test query: it shows whether the stages answer, not whether they are fast."""


class ArmHealth:
    """Halts arms that fail in this gateway process."""

    def __init__(self, switcher: GenerationSwitcher, pipeline: Pipeline) -> None:
        self._switcher = switcher
        self._pipeline = pipeline
        self._errors: dict[tuple[str, str], int] = {}
        self._at_fault: dict[str, float] = {}

    def note(self, query: Query, failed: bool) -> None:
        """Note a slate. failed: whether it ended with an error."""
        if not query.assigned.forced:
            for arm in query.assigned.exposures.items():
                self._errors[arm] = self._errors.get(arm, 0) + 1 if failed else 0

    async def follow(self) -> None:
        """Halt arms that fail, without an end."""
        await repeat("arm-health", self._check, CHECK_SECONDS)

    async def _check(self) -> None:
        now, follower = time.monotonic(), self._switcher.follower
        for generation, why in follower.refusals.items():
            await self._halt_all(generation, f"Generation {generation} was refused by {why}")
        failing = [each for each in self._pipeline.arms_away if await self._is_at_fault(each)]
        self._at_fault = {each: self._at_fault.get(each, now) for each in failing}
        for generation, since in self._at_fault.items():
            if now - since >= AWAY_SECONDS:
                sentence = f"Generation {generation} lacks retrieval or ranking; the live generation has both."
                await self._halt_all(generation, sentence)
        for (name, arm), errors in list(self._errors.items()):
            if arm != CONTROL and errors >= ERRORS and not self._errors.get((name, CONTROL)):
                del self._errors[name, arm]
                await self._halt(name, arm, f"{ERRORS} slates in a row of a gateway ended with an error.")

    async def _is_at_fault(self, generation: str) -> bool:
        """Whether a stage fails for an arm's generation alone, and not for the live one too."""
        served = self._switcher.of_arm(generation)
        return served is not None and await self._fails(served) and not await self._fails(self._switcher.live())

    async def _fails(self, served: ServedGeneration) -> bool:
        return bool(await warm_up.left_out(self._pipeline, served, 1, TEST_SECONDS, trial=True))

    async def _halt_all(self, generation: str, reason: str) -> None:
        for name, arm in self._switcher.follower.experiments.current.arms_of(generation):
            await self._halt(name, arm, reason)

    async def _halt(self, name: str, arm: str, reason: str) -> None:
        await asyncio.to_thread(self._switcher.follower.experiments.halt, name, arm, reason)
