"""The operator's rules for recommended items, such as pin or quota: a file of them, read again when it changes.

They are compiled for each generation (trained set of models and tables), which knows the items and columns that they
name.
"""

from __future__ import annotations

import logging
from pathlib import Path

from recsys.rules import CompiledRules, Rules, RulesFile, compile_rules, unknown_items
from recsys.slates.served_generation import ServedGeneration

logger = logging.getLogger("tandem")

HELD = 8
"""Generations for which rules are kept compiled."""


class RulesFollower:
    """Reads a file of rules again when the file changes."""

    def __init__(self, path: Path, last: Path, prefix: str = "") -> None:
        """last: the file that keeps the text in force, for a worker that starts while the file of rules is wrong.

        prefix: of sentences on rules without effect, if there are several files.
        """
        self._file = RulesFile(path, last=last)
        self._prefix = prefix
        self._compiled: dict[str, tuple[Rules, CompiledRules]] = {}

    def refresh(self) -> None:
        """Read the file again if it changed."""
        self._file.refresh()

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
        for sentence in self._without_effect(rules, made, generation):
            logger.warning("A rule has no effect. %s", sentence)
        return made

    def problems(self, generation: ServedGeneration | None) -> list[str]:
        """The error in the file, and the rules without effect in a generation."""
        problems = [self._file.fault] if self._file.fault else []
        if generation is not None:
            problems += self._without_effect(self._file.current, self.of(generation), generation)
        return problems

    def _without_effect(self, rules: Rules, made: CompiledRules, generation: ServedGeneration) -> list[str]:
        sentences = [*made.inactive, *unknown_items(rules, generation.rows_of)]
        return [f"{self._prefix}{sentence}" for sentence in sentences]
