"""One line of the fault table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.chaos.expected import Expected
from tests.chaos.load import Answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fault did.

    failed: requests without a slate. mixed: slates that are no generation's own. degraded: slates that say so.
    recovery_s: from the fault's end to the first whole answer. wrong: what should not have happened, in words.
    """

    fault: str
    requests: int
    failed: int
    mixed: int
    degraded: int
    recovery_s: float | None
    note: str = ""
    wrong: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing happened that should not."""
        return not self.wrong

    def to_json(self) -> dict[str, Any]:
        """As `loadtests/results/chaos.json` has it."""
        told = asdict(self)
        told["wrong"] = list(self.wrong)
        return told | {"pass": self.passed}


def judge(
    fault: str,
    answers: Sequence[Answer],
    generations: Mapping[str, Expected],
    recovery: float | None,
    *,
    within: float | None = None,
    whole: bool = False,
    down: bool = False,
    note: str = "",
    wrong: Sequence[str] = (),
) -> Outcome:
    """Count what came back; no fault may fail a request or mix generations.

    within: seconds that recovery may take. whole: whether no answer may be degraded. down: whether requests may fail,
    as there is nobody to answer them.
    """
    failed = [answer for answer in answers if answer.failed]
    mixed = [answer for answer in answers if not answer.failed and not _own(answer, generations)]
    degraded = [answer for answer in answers if answer.degraded]
    told = list(wrong)
    if not answers:
        told.append("nothing was asked")
    if failed and not down:
        told.append(
            f"{len(failed)} requests failed, the first with {failed[0].status} {failed[0].said}{failed[0].body}"
        )
    if mixed:
        told.append(f"{len(mixed)} answers are no generation's own, the first: {mixed[0].body}")
    if whole and degraded:
        told.append(f"{len(degraded)} answers were degraded, the first by {degraded[0].degraded}")
    if within is not None and (recovery is None or recovery > within):
        told.append(f"it recovered after {recovery} s, and {within} s were allowed")
    return Outcome(
        fault,
        len(answers),
        len(failed),
        len(mixed),
        len(degraded),
        None if recovery is None else round(recovery, 2),
        note,
        tuple(told),
    )


def _own(answer: Answer, generations: Mapping[str, Expected]) -> bool:
    """Whether an answer is what the generation it names says; one without its ranking has no scores to compare."""
    body = answer.body or {}
    if body["generation"] not in generations:
        return False
    if {"retrieval", "ranking"} & set(body["degraded"]):
        return True
    return generations[body["generation"]].agrees(body, answer.due + answer.seconds)
