"""The rules in force in this process, and what they mean for each generation."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

from recsys.rules import CompiledRules, Rules, RulesFile, compiled, unknown_items
from service.served import ServedGeneration

logger = logging.getLogger("tandem")

LOOK_SECONDS = 1.0
"""How often the file is looked at."""

HELD = 4
"""Generations for which rules are kept compiled."""


class Rulebook:
    """Follows the file of rules."""

    def __init__(self, path: Path, last: Path) -> None:
        """last: where the text in force is kept, for a worker that starts while the file is wrong."""
        self._file = RulesFile(path, last=last)
        self._compiled: dict[str, tuple[Rules, CompiledRules]] = {}

    async def follow(self) -> None:
        """Look for ever, on a thread: a disk may let one wait, and a way there and back for each look costs more."""
        ended = threading.Event()
        threading.Thread(target=self._look, args=(ended,), name="rules", daemon=True).start()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    def _look(self, ended: threading.Event) -> None:
        while not ended.wait(LOOK_SECONDS):
            try:
                self._file.look()
            except Exception:
                logger.exception("The file of rules can't be looked at.")

    def of(self, generation: ServedGeneration) -> CompiledRules:
        """The rules as a generation understands them."""
        rules = self._file.current
        held = self._compiled.get(generation.id)
        if held is None or held[0] is not rules:
            held = self._compiled[generation.id] = rules, compiled(rules, generation.spec)
            for sentence in held[1].inactive:
                logger.warning("A rule is inactive. %s", sentence)
            while len(self._compiled) > HELD:
                self._compiled.pop(next(iter(self._compiled)))
        return held[1]

    def told(self, generation: ServedGeneration | None) -> list[str]:
        """What is wrong with the rules, in sentences."""
        fault = [self._file.fault] if self._file.fault else []
        if generation is None:
            return fault
        return [*fault, *self.of(generation).inactive, *unknown_items(self._file.current, generation.rows_of)]
