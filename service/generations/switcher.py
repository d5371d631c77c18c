"""Which generation a gateway answers from: one at a time, and the next only when every process that serves holds it.

A query is pinned to the generation in force when it comes and carries its id through every stage, so that no answer
mixes two. The gateway moves on when it holds the next, no process that announced itself lacks it, and the whole path
was warmed with it. What can't be served is refused, and what was in force stays.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from recsys.errors import NOTHING_LIVE, GenerationError, NoGeneration, TandemError
from recsys.types import U8, Event, Id
from service.generations.fallback import Spare
from service.generations.follower import Adopter
from service.generations.holder import GenerationHolder
from service.generations.readiness import ReadinessLog, not_up
from service.generations.served import ServedGeneration
from service.recommend.pipeline import Pipeline
from service.recommend.query import Query
from service.settings import Settings
from service.telemetry import metrics

logger = logging.getLogger("tandem")

FIRST_BATCHES = (1, 2, 4, 8, 16, 32) * 2
"""Queries of the batches that warm a gateway which serves nothing yet: BentoML's dispatcher trains its batching on the
first eleven, and answers stray 503s while it does."""

NEXT_BATCHES = (1, 2, 4) * 2
"""And of those that warm the next generation, while others wait for the same processes."""

WARM_UP_SECONDS = 30
"""How long the whole path may take to answer whole batches of a generation that all hold, before it is refused."""

ALONE_SECONDS = 60.0
"""How long a gateway that answers nothing yet waits for retrieval or ranking of which no process announced itself. Then
the ladder holds from the start: answers without it, which say so, are better than none. Services that start beside a
gateway announce themselves some ten seconds after it at the latest, so this is reached by those that do not come."""

ASK_AGAIN_SECONDS = 1.0
"""Between two queries of our own while a stage is done without, so that its return is noticed though nobody asks."""

ASK_AGAIN_DUE = 0.1
"""Seconds that such a query may take at least: with less it could hardly see that the stage is back."""

WARM_UP_DUE = 10.0
"""Seconds that such a batch may take. It is to prove that the path is whole, not that it is fast: held to a query's
deadline, 32 queries over a million items on a busy machine were late for ever, and nothing was ever served."""

BREATH = 0.02
"""Seconds between two batches, for the queries that wait."""

REPLAYED = 64
"""Newest real queries kept, to warm the next generation with."""

LOOK_SECONDS = 0.1
"""Between two looks at what may come into force."""

CALM_SECONDS = 1.0
"""The same once something is and all stages answer: then the adopter tells of what is new."""

SETTLE_SECONDS = 15.0
"""How long a process that starts may keep its doors shut, until it has something to answer from: then it says what it
waits for. Where another gateway answers there is no such end: all take requests from one socket, and the one that was
ready said so for the other, which answered 503."""


class Asked(NamedTuple):
    """What of a query is asked again: all of it would keep its generation, and what was read of the user, in memory."""

    user_id: Id | None
    k: int
    session: list[Event]
    exclude: list[Id]
    now: float
    context: U8


class Succession:
    """The generation in force in this gateway process, and how the next one succeeds it."""

    def __init__(
        self,
        adopter: Adopter,
        holder: GenerationHolder[ServedGeneration],
        pipeline: Pipeline,
        spare: Spare,
        settings: Settings,
    ) -> None:
        self.adopter = adopter
        self._holder = holder
        self._pipeline = pipeline
        self._spare = spare
        self._settings = settings
        self._in_force: ServedGeneration | None = None
        self._replayed: deque[Asked] = deque(maxlen=REPLAYED)
        self._awaited, self._awaited_since = "", 0.0
        self._asked_again = 0.0
        self._readiness = ReadinessLog()

    @property
    def away(self) -> list[str]:
        """The stages that answers do without now."""
        return self._pipeline.away

    @property
    def in_force(self) -> ServedGeneration | None:
        """The generation that answers come from; None while there is none."""
        return self._in_force

    @property
    def live(self) -> ServedGeneration:
        """The generation in force; NoGeneration says why there is none."""
        if self._in_force is None:
            raise NoGeneration(self._why_none())
        return self._in_force

    @property
    def unready(self) -> str | None:
        """Why this gateway is not ready, in a sentence of `service.generations.readiness`; None where it is."""
        if self._in_force is not None:
            return None
        if self._awaited:
            return not_up(self._awaited, ALONE_SECONDS)
        return self.adopter.unready(bool(self.refused()))

    def note(self, query: Query) -> None:
        """Remember a real query, to warm the next generation with."""
        asked = Asked(query.user_id, query.k, query.session, query.exclude, query.now, query.context)
        self._replayed.append(asked)

    def forget(self, user_id: Id) -> None:
        """Ask nothing again that a user asked."""
        kept = [asked for asked in self._replayed if str(asked.user_id) != str(user_id)]
        self._replayed = deque(kept, maxlen=REPLAYED)

    def refused(self) -> dict[str, str]:
        """Why generations were refused, by id, here or in another process that serves."""
        told = (self.adopter.holding, *self.adopter.outlook.processes)
        return {each: f"{process.role}: {why}" for process in told for each, why in process.refused.items()}

    async def follow(self) -> None:
        """Let whatever is wanted most and held by all succeed what is in force, for ever."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def told() -> None:
            with suppress(RuntimeError):  # the loop has ended: nobody follows any more
                loop.call_soon_threadsafe(changed.set)

        self.adopter.told = told
        await asyncio.to_thread(self.adopter.start)
        while True:
            try:
                generation = self._next()
                if generation is not None:
                    await self._succeed(generation)
                await self._ask_again()
                self._readiness.note(self.unready)
            except TandemError as error:
                logger.warning("No generation was adopted: %s", error)
            except Exception:
                logger.exception("Adoption failed; trying again.")
            calm = self._in_force is not None and not self._pipeline.recovering
            timer = loop.call_later(CALM_SECONDS if calm else LOOK_SECONDS, changed.set)
            await changed.wait()
            timer.cancel()
            changed.clear()

    async def settled(self) -> None:
        """Return when a generation is in force or nothing is left that could be.

        Or when SETTLE_SECONDS are over and no other gateway answers, either: some answer is better than none.
        """
        end = time.monotonic() + SETTLE_SECONDS
        while self._in_force is None and self._is_awaited():
            if time.monotonic() >= end and not self.adopter.outlook.in_force:
                return
            await asyncio.sleep(LOOK_SECONDS / 4)

    def _is_awaited(self) -> bool:
        """Whether something may soon be in force: nobody looked yet, or what is wanted was not refused."""
        adopter = self.adopter
        return not adopter.outlook.looked or not all(adopter.refuses(each) for each in adopter.wanted)

    def _next(self) -> str | None:
        """What is wanted more than what is in force, and held by all who announced themselves; None for nothing."""
        outlook, current = self.adopter.outlook, self._in_force and self._in_force.id
        if current and (outlook.fault or not outlook.live or outlook.live == current):
            return None  # nothing can be known to be better, or is
        held = self.adopter.held
        for generation in self.adopter.wanted:
            if generation == current:
                return None
            if generation in held and not self.adopter.refuses(generation) and not outlook.lacking(generation):
                return generation
        return None

    async def _succeed(self, generation: str) -> None:
        """Warm the whole path with a generation, and only then put it in force."""
        served = self._holder.get(generation)
        try:
            await self._warm_up(served)
        except Exception as error:
            if not isinstance(error, TandemError):
                logger.exception("Generation %s could not be warmed up.", generation)
            self.adopter.refuse(generation, str(error) or type(error).__name__)
            return
        if self._next() != generation:
            return  # the alias moved on meanwhile
        self.adopter.accept(generation)
        self._in_force, self.adopter.in_force = served, generation
        metrics.live_generation.set(served.manifest.created)
        without = f" without {self._awaited}; answers say so, until it comes" if self._awaited else ""
        logger.info("Generation %s is in force%s.", generation, without)
        self._awaited = ""
        await asyncio.to_thread(self._told, generation)

    def _told(self, generation: str) -> None:
        """Tell the other processes, and this host's next start."""
        self.adopter.announce()
        self._spare.remember(generation)

    async def _warm_up(self, served: ServedGeneration) -> None:
        """Send batches of every size until so many in a row were whole: retrieval and ranking then hold it too.

        Return without that where nothing is in force, and what is left out did not come up for ALONE_SECONDS.
        """
        sizes = NEXT_BATCHES if self._in_force else FIRST_BATCHES
        clean, begun, self._awaited = 0, time.monotonic(), ""
        while clean < len(sizes):
            left_out = await self._warm_batch(served, min(sizes[clean], self._settings.max_batch))
            now, named = time.monotonic(), ", ".join(sorted(left_out))
            if left_out and self._never_came(left_out):
                self._await(named, now)
                if now - self._awaited_since > ALONE_SECONDS:
                    return
            elif left_out and now - begun > WARM_UP_SECONDS:
                raise GenerationError(f"Warm-up of {served.id} had to leave out {named}.")
            clean = 0 if left_out else clean + 1
            await asyncio.sleep(0.2 if left_out else BREATH)
        self._awaited = ""

    def _never_came(self, left_out: set[str]) -> bool:
        """Whether this gateway starts, and there is no process of the services that would do what was left out."""
        here = {told.role for told in self.adopter.outlook.processes}
        return self._in_force is None and self._settings.topology == "split" and not left_out & here

    def _await(self, named: str, now: float) -> None:
        """Wait from now on, where something else was waited for: ranking is asked only when retrieval has come."""
        if named != self._awaited:
            self._awaited, self._awaited_since = named, now
            self._readiness.note(self.unready)

    async def _ask_again(self) -> None:
        """Send one query of our own while a stage is away, and until the log says that it is back."""
        now = time.monotonic()
        if self._in_force and self._pipeline.recovering and now - self._asked_again > ASK_AGAIN_SECONDS:
            self._asked_again = now
            await self._warm_batch(self._in_force, 1, max(self._settings.deadline_ms / 1000, ASK_AGAIN_DUE))

    async def _warm_batch(self, served: ServedGeneration, size: int, seconds: float = WARM_UP_DUE) -> set[str]:
        """What a batch of queries, real ones where there were any, had to leave out of retrieval and ranking."""
        due = time.monotonic() + seconds
        again = [_again(asked, served, due) for asked in list(self._replayed)[-size:]]
        queries = [*again, *_made_up(served, size - len(again), due)]
        await self._pipeline.run(queries)
        return {str(stage) for query in queries for stage in query.degraded if stage != "store"}

    def _why_none(self) -> str:
        """Why nothing is in force, and what to do about it."""
        outlook, refused = self.adopter.outlook, self.refused()
        if not outlook.looked:
            return "The service is starting; try again in a moment."
        if outlook.fault:
            return outlook.fault
        if refused:
            return "; ".join(f"Generation {each} was refused by {why}" for each, why in refused.items())
        if self._awaited:
            return (
                f"No process of {self._awaited} is there yet; this gateway starts without after {ALONE_SECONDS:.0f} s."
            )
        if outlook.live:
            return f"Generation {outlook.live} is being loaded; try again in a moment."
        return NOTHING_LIVE


def _again(asked: Asked, served: ServedGeneration, due: float) -> Query:
    """A query that was answered, asked of another generation."""
    return Query(served, asked.user_id, asked.k, due, asked.session, asked.exclude, asked.now, asked.context)


def _made_up(served: ServedGeneration, count: int, due: float) -> Sequence[Query]:
    """Queries of users who looked at popular items, and exclude the least popular: so that every filter has run."""
    popular = served.popular
    starts = [place % max(len(popular), 1) for place in range(count)]
    last = [served.item_id(int(row)) for row in popular[-1:]]
    return [Query(served, "", 10, due, _session(served, popular[start:][:8]), last) for start in starts]


def _session(served: ServedGeneration, items: np.ndarray) -> list[Event]:
    return [Event("", served.item_id(int(row)), float(step)) for step, row in enumerate(items)]
