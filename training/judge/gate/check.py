"""The result of one check of the gate, which decides whether a newly trained model may go live."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

NOISE = 2.0
"""Standard errors within which a difference is noise: chance exceeds two once in 40 times."""


@dataclass(frozen=True, slots=True)
class Check:
    """A figure, `ours`, compared with a bound, which is None if nothing was judged. sentence: has both figures."""

    name: str
    verdict: Literal["passed", "failed", "not judged"]
    sentence: str
    ours: float | None = None
    bound: float | None = None


def check(name: str, passed: bool, sentence: str, ours: float, bound: float) -> Check:
    """A check that passed or failed."""
    return Check(name, "passed" if passed else "failed", sentence, ours, bound)


def failed(checks: Iterable[Check]) -> list[str]:
    """The sentences of the checks that failed."""
    return [each.sentence for each in checks if each.verdict == "failed"]
