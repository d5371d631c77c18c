"""Learning curves, listened to on the way: a watch that passes on what it is told and keeps every loss."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from training.progress import Progress, Watch

Curve = list[tuple[float, float]]
"""(share of the step done, loss), in order."""

LOSS = re.compile(r"\bloss (-?\d+(?:\.\d+)?)")


class Curves:
    """A `Watch` in front of another; curves: what each step said of its loss, by the step's name."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.curves: dict[str, Curve] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[Progress]:
        """Watch a step and keep its losses."""
        with self._watch(step) as progress:

            def tell(share: float, word: str) -> None:
                if found := LOSS.search(word):
                    self.curves.setdefault(step, []).append((share, float(found[1])))
                progress(share, word)

            yield tell
