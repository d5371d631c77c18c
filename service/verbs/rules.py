"""The rules in force in this process, and what they mean for each generation."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from recsys.rules import CompiledRules, Rules, RulesFile, compiled, unknown_items
from service.generations.served import ServedGeneration

logger = logging.getLogger("tandem")

LOOK_SECONDS = 1.0
"""How often the file is looked at."""

HELD = 4
"""Generations for which rules are kept compiled."""


class RulesFollower:
    """Follows the file of rules."""

    def __init__(self, path: Path, last: Path) -> None:
        """last: where the text in force is kept, for a worker that starts while the file is wrong."""
        self._file = RulesFile(path, last=last)
        self._compiled: dict[str, tuple[Rules, CompiledRules]] = {}
        self._compiling = threading.Lock()

    async def follow(self, live: Callable[[], ServedGeneration | None]) -> None:
        """Look for ever, on a thread: a disk may let one wait, and a way there and back for each look costs more.

        live: returns the generation in force. New rules are compiled for it at once, and their problems are logged.
        """
        ended = threading.Event()
        threading.Thread(target=self._look, args=(ended, live), name="rules", daemon=True).start()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    def _look(self, ended: threading.Event, live: Callable[[], ServedGeneration | None]) -> None:
        while not ended.wait(LOOK_SECONDS):
            try:
                self._file.look()
                if (generation := live()) is not None:
                    self.of(generation)
            except Exception:
                logger.exception("The file of rules can't be looked at.")

    def of(self, generation: ServedGeneration) -> CompiledRules:
        """The rules as a generation understands them."""
        held = self._compiled.get(generation.id)
        if held is None or held[0] is not self._file.current:
            with self._compiling:  # the thread that looks and a request may come at once: one of them logs
                return self._compile(generation)
        return held[1]

    def _compile(self, generation: ServedGeneration) -> CompiledRules:
        rules, held = self._file.current, self._compiled.get(generation.id)
        if held is not None and held[0] is rules:
            return held[1]
        made = compiled(rules, generation.spec)
        self._compiled[generation.id] = rules, made
        while len(self._compiled) > HELD:
            self._compiled.pop(next(iter(self._compiled)))
        for sentence in (*made.inactive, *unknown_items(rules, generation.rows_of)):
            logger.warning("A rule has no effect. %s", sentence)
        return made

    def problems(self, generation: ServedGeneration | None) -> list[str]:
        """What is wrong with the rules, in sentences."""
        fault = [self._file.fault] if self._file.fault else []
        if generation is None:
            return fault
        return [*fault, *self.of(generation).inactive, *unknown_items(self._file.current, generation.rows_of)]
