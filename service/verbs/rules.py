"""The rules in force in this process, compiled for each generation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from recsys.rules import CompiledRules, Rules, RulesFile, compile_rules, unknown_items
from service.generations.served import ServedGeneration

logger = logging.getLogger("tandem")

LOOK_SECONDS = 1.0
"""Between two looks at the file."""

HELD = 4
"""Generations for which rules are kept compiled."""


class RulesFollower:
    """Follows the file of rules."""

    def __init__(self, path: Path, last: Path) -> None:
        """last: where the text in force is kept, for a worker that starts while the file is wrong."""
        self._file = RulesFile(path, last=last)
        self._compiled: dict[str, tuple[Rules, CompiledRules]] = {}

    async def follow(self, live: Callable[[], ServedGeneration | None]) -> None:
        """Look at the file forever. New rules are compiled at once for the generation in force, `live()`."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await asyncio.to_thread(self._file.refresh)  # a slow disk must not stop the loop
                if (generation := live()) is not None:
                    self.of(generation)
            except Exception:
                logger.exception("The file of rules can't be read.")

    def of(self, generation: ServedGeneration) -> CompiledRules:
        """The rules compiled for a generation."""
        rules = self._file.current
        held = self._compiled.get(generation.id)
        if held is not None and held[0] is rules:
            return held[1]
        made = compile_rules(rules, generation.spec)
        self._compiled[generation.id] = rules, made
        while len(self._compiled) > HELD:
            self._compiled.pop(next(iter(self._compiled)))
        for sentence in _without_effect(rules, made, generation):
            logger.warning("A rule has no effect. %s", sentence)
        return made

    def problems(self, generation: ServedGeneration | None) -> list[str]:
        """The error in the file, and the rules without effect in a generation."""
        problems = [self._file.fault] if self._file.fault else []
        if generation is not None:
            problems += _without_effect(self._file.current, self.of(generation), generation)
        return problems


def _without_effect(rules: Rules, made: CompiledRules, generation: ServedGeneration) -> list[str]:
    return [*made.inactive, *unknown_items(rules, generation.rows_of)]
