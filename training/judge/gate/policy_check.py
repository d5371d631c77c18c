"""The gate's check of the tested model against the logged policy, on explored slates that are newer than its data.

The gate decides whether a newly trained model may go live.
"""

from __future__ import annotations

from training.judge.gate.check import Check, check
from training.judge.metric_table import Evaluation
from training.judge.verdicts import Refusal

NAME = "explored slates"


def policy_checks(evaluation: Evaluation) -> list[Check]:
    """Whether users may take as much of the tested model's slates as they took of the logged ones.

    Without an estimate nothing is judged.
    """
    if evaluation.policy is None:
        return []
    found, notes = evaluation.policy.found, evaluation.policy.notes
    if isinstance(found, Refusal):
        return [Check(NAME, "not judged", " ".join([f"{NAME}: {found.sentence}", *notes]))]
    high = round(found.difference.high, 4)
    sentence = (
        f"{NAME}: {found.doubly_robust.value:.4f} items taken in {found.scope} by the tested model, and "
        f"{found.logged.value:.4f} by the logged policy, on {evaluation.policy.slates:,} slates; the 95 % interval of "
        f"the difference ends at {high:.4f}, 0 would pass."
    )
    return [check(NAME, high >= 0, sentence, high, 0.0)]
