"""The switcher of a gateway: it chooses the generation (trained models and tables) that answers requests.

A query takes the generation in force when the request arrives, and carries its id through all stages. So no answer
mixes two generations. An alias such as `live` moves when this gateway holds the next generation, no other process lacks
it, and all stages answered complete batches of it. A generation that fails is refused; the current one stays.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

from recsys.errors import GenerationError, NoGeneration, TandemError
from recsys.slates.served_generation import ServedGeneration
from recsys.store.stored_types import LIVE
from service.generations import warm_up
from service.generations.alias_state import arm_alias
from service.generations.follower import GenerationFollower
from service.generations.holder import GenerationHolder
from service.generations.local_generations import GenerationFallback
from service.generations.readiness import ReadinessLog, not_up
from service.recommend.pipeline import Pipeline
from service.settings import Settings
from service.telemetry import metrics
from service.telemetry.periodic import repeat

logger = logging.getLogger("tandem")

POLL_SECONDS = 0.25
"""Time between two checks whether an alias can move."""

WARM_UP_SECONDS = 60.0
"""Time in which all stages have to answer complete batches of a generation that all processes hold; else the generation
is refused. A gateway that answers nothing yet starts without a stage of which no process announced itself."""

PAUSE_SECONDS = 0.02
"""Pause between two batches of a warm-up, for the requests that wait."""

PROBE_SECONDS = 1.0
"""Time between two queries of the gateway itself while a stage is away."""

START_SECONDS = 15.0
"""Time for the first generation; then the ports open without one. With another gateway on the same ports there is no
limit: that gateway answers meanwhile."""

ARMS_SECONDS = 3.0
"""Time that the ports wait for the generations of arms once `live` is in force: until then their users get the control,
which monitors count against the arm."""


class GenerationSwitcher:
    """The generation in force of each alias, in one gateway process."""

    def __init__(
        self,
        follower: GenerationFollower,
        holder: GenerationHolder[ServedGeneration],
        pipeline: Pipeline,
        fallback: GenerationFallback,
        settings: Settings,
    ) -> None:
        self.follower = follower
        self._holder = holder
        self._pipeline = pipeline
        self._fallback = fallback
        self._settings = settings
        self._in_force: dict[str, ServedGeneration] = {}
        self._absent = ""
        self._readiness = ReadinessLog()

    @property
    def ready(self) -> bool:
        """Whether `live` is served."""
        return LIVE in self._in_force

    @property
    def unready(self) -> str | None:
        """Why `live` is not served, in a sentence of `readiness`; None if it is."""
        if self.ready:
            return None
        return not_up(self._absent, WARM_UP_SECONDS) if self._absent else self.follower.reason

    def of_arm(self, generation: str) -> ServedGeneration | None:
        """The generation of an experiment's arm; None if it can't be served now."""
        served = self._in_force.get(arm_alias(generation))
        return None if served is None or self.follower.state.lacking_in_a_backend(generation) else served

    def live(self) -> ServedGeneration:
        """The live generation in force, for a query to keep; NoGeneration gives the reason if there is none."""
        if served := self._in_force.get(LIVE):
            return served
        refused = [f"Generation {each} was refused by {why}" for each, why in self.follower.refusals.items()]
        reason = self.follower.state.fault or "; ".join(refused) or self.unready
        raise NoGeneration(reason or "The live generation is not loaded.")

    async def follow(self) -> None:
        """Start the follower, and move each alias whenever it can move. Does not return."""
        await asyncio.to_thread(self.follower.start)
        moving: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            group.create_task(repeat("switcher", partial(self._move, LIVE), POLL_SECONDS))
            group.create_task(repeat("switcher", self._probe, PROBE_SECONDS))
            await repeat("switcher", partial(self._follow_arms, moving, group), POLL_SECONDS)

    async def _follow_arms(self, moving: dict[str, asyncio.Task[None]], group: asyncio.TaskGroup) -> None:
        """Start a task that moves each new alias of an arm, and drop the aliases that are gone."""
        named = {*map(arm_alias, self.follower.state.arms)}
        for alias in named.difference(moving):
            moving[alias] = group.create_task(repeat("switcher", partial(self._move, alias), POLL_SECONDS))
        for alias in set(moving).difference(named):
            moving.pop(alias).cancel()
            if served := self._in_force.pop(alias, None):
                self._note_in_force()
                logger.info("Generation %s is in force for %s no more.", served.id, alias)

    async def settled(self) -> None:
        """Return when `live` and arms are served, when no generation can be served for now, or after START_SECONDS."""
        end, follower = time.monotonic() + START_SECONDS, self.follower
        while not self.ready:
            if follower.state.was_read and all(follower.is_refused(each) for each in follower.candidates(LIVE)):
                return
            if time.monotonic() >= end and not follower.state.served:
                return
            await asyncio.sleep(POLL_SECONDS / 4)
        end = time.monotonic() + ARMS_SECONDS
        while time.monotonic() < end and any(self._may_come(each) for each in follower.state.arms):
            await asyncio.sleep(POLL_SECONDS / 4)

    def _may_come(self, generation: str) -> bool:
        """Whether the generation of an arm is not served yet, and was not refused."""
        return self.of_arm(generation) is None and not self.follower.is_refused(generation)

    def _next(self, alias: str) -> str | None:
        """The generation that the alias can move to now; None if the alias stays."""
        follower, state = self.follower, self.follower.state
        current = follower.in_force.get(alias)
        if current and (state.fault or state.named.get(alias) in (None, current)):
            return None
        if alias != LIVE and not self.ready:
            return None  # queries of arms fall back to `live`
        held = follower.held
        for generation in follower.candidates(alias):
            if generation == current:
                return None
            if generation in held and not follower.is_refused(generation) and not state.lacking(generation):
                return generation
        return None

    async def _move(self, alias: str) -> None:
        """Move the alias, if it can move."""
        if generation := self._next(alias):
            try:
                served = self._holder.get(generation)
                if await self._is_warm(alias, served):
                    await self._put_in_force(alias, served)
            except Exception as error:
                if not isinstance(error, TandemError):
                    logger.exception("Generation %s could not be warmed up.", generation)
                self.follower.refuse(generation, str(error) or type(error).__name__)
        self._readiness.note(self.unready)

    async def _is_warm(self, alias: str, served: ServedGeneration) -> bool:
        """Run batches until enough in a row were complete; False if the alias can't move any more.

        GenerationError if the batches are not complete within WARM_UP_SECONDS.
        """
        sizes = warm_up.NEXT_BATCHES if self.ready else warm_up.FIRST_BATCHES
        complete, end = 0, time.monotonic() + WARM_UP_SECONDS
        while complete < len(sizes):
            size = min(sizes[complete], self._settings.max_batch)
            left_out = await warm_up.left_out(self._pipeline, served, size, trial=self.ready)
            if self._next(alias) != served.id:
                self._absent = ""
                return False
            absent = left_out - {process.role for process in self.follower.state.processes}
            self._absent = "" if self.ready else ", ".join(sorted(absent))
            self._readiness.note(self.unready)
            if left_out and time.monotonic() > end:
                if self._absent:
                    return True
                if alias != LIVE and self._pipeline.recovering:
                    return False  # the stage is away for the live generation too: no fault of the arm
                raise GenerationError(f"Warm-up of {served.id} had to leave out {', '.join(sorted(left_out))}.")
            complete = 0 if left_out else complete + 1
            await asyncio.sleep(POLL_SECONDS if left_out else PAUSE_SECONDS)
        return True

    async def _put_in_force(self, alias: str, served: ServedGeneration) -> None:
        without = f" without {self._absent}; `degraded` in answers names it" if self._absent else ""
        self._in_force[alias], self._absent = served, ""
        self._note_in_force()
        logger.info("Generation %s is in force%s%s.", served.id, "" if alias == LIVE else f" for {alias}", without)
        await asyncio.to_thread(self.follower.announce)
        if alias == LIVE:
            metrics.live_generation.set(served.manifest.created)
            await asyncio.to_thread(self._fallback.remember, served.id)

    def _note_in_force(self) -> None:
        self.follower.in_force = {name: each.id for name, each in self._in_force.items()}

    async def _probe(self) -> None:
        """Run a query while a stage is away, so that its return is noticed without requests."""
        if self.ready and self._pipeline.recovering:
            seconds = self._settings.deadline_ms / 1000
            await warm_up.left_out(self._pipeline, self._in_force[LIVE], 1, seconds)
