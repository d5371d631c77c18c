"""The operator's rules for recommended items, such as pin or quota: their file, read again when it changes.

They are compiled for each generation (trained set of models and tables), which knows the items and columns that they
name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from recsys.rules import CompiledRules, Rules, RulesFile, compile_rules, unknown_items
from service.generations.served import ServedGeneration
from service.telemetry.periodic import repeat

logger = logging.getLogger("tandem")

POLL_SECONDS = 1.0
"""Time between two checks of the file."""

HELD = 4
"""Generations for which rules are kept compiled."""


class RulesFollower:
    """Reads the file of rules again when the file changes."""

    def __init__(self, path: Path, last: Path) -> None:
        """last: the file that keeps the text in force, for a worker that starts while the file of rules is wrong."""
        self._file = RulesFile(path, last=last)
        self._compiled: dict[str, tuple[Rules, CompiledRules]] = {}

    async def follow(self, live: Callable[[], ServedGeneration | None]) -> None:
        """Check the file, without an end. New rules are compiled at once for the generation in force, `live()`."""

        async def check() -> None:
            await asyncio.to_thread(self._file.refresh)  # a slow disk must not stop the loop
            if (generation := live()) is not None:
                self.of(generation)

        await repeat(check, POLL_SECONDS, "The file of rules can't be read.")

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
