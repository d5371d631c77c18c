"""The page of off-policy estimates: for each policy its reward by three estimates, and how much the log shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training.judge.verdicts import ArmJudgement, Judgement, Overlap, Refusal
from training.offpolicy.policy_judgement import LEAST_EFFECTIVE_USERS, MOST_OUTSIDE
from training.report.charts import COLOURS, NARROW, SOFT, Chart, chart, limit
from training.report.page import Report, Section, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {
    "logged": "as it was",
    "inverse_propensity": "IPS",
    "self_normalised": "self-normalised IPS",
    "doubly_robust": "doubly robust",
    "difference": "doubly robust - as it was",
}
"""The estimates of a `Judgement` in words."""


def page(found: Mapping[str, ArmJudgement], log: str) -> Report:
    """The page of some policies. log: the folder of the slates."""
    sections = [part for name, each in found.items() for part in _parts(name, each)]
    headline = [
        (name, f"{each.found.difference.value:+.4f}", f"{each.found.difference.low:+.4f} to {_high(each.found)}")
        for name, each in found.items()
        if isinstance(each.found, Judgement)
    ]
    sentence = "Items that a user takes of a slate, against what the logged policy had, with 95 % intervals."
    return Report("Policies judged by explored slates", log, sentence, None, sections, headline=headline)


def _high(found: Judgement) -> str:
    return f"{found.difference.high:+.4f}"


def _parts(name: str, judged: ArmJudgement) -> list[Section | Table]:
    """What is shown of a policy."""
    found = judged.found
    counts = f"{judged.slates:,} slates of {judged.users:,} users."
    if isinstance(found, Refusal):
        charts = [_users(found.overlap)] if found.overlap.effective_users else []
        return [Section(name, " ".join([f"No estimate. {found.sentence}", counts, *judged.notes]), charts)]
    note = " ".join([f"The reward of {found.scope}, from {counts}", *judged.notes])
    return [Section(name, note, [_intervals(found), _users(found.overlap)]), _table(name, found)]


def _intervals(found: Judgement) -> Chart:
    """The estimates as intervals on one axis."""
    estimates = {words: getattr(found, name) for name, words in NAMES.items() if name != "difference"}

    def draw(axes: Axes) -> None:
        limit(axes, "", found.logged.value, "x", SOFT, "--")
        for place, each in enumerate([*estimates.values()][::-1]):
            errors = [[each.value - each.low], [each.high - each.value]]
            axes.errorbar(each.value, place, xerr=errors, fmt="o", color=SOFT if each is found.logged else COLOURS[0])
        axes.set_yticks(range(len(estimates)), [*estimates][::-1])

    return chart("Items taken of a slate", draw, NARROW, legend=False)


def _users(overlap: Overlap) -> Chart:
    """The effective users by place."""
    from matplotlib.ticker import MaxNLocator

    users = overlap.effective_users

    def draw(axes: Axes) -> None:
        axes.plot(range(1, len(users) + 1), users, "o-")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        limit(axes, "", LEAST_EFFECTIVE_USERS)

    title = f"Effective users up to each place; {LEAST_EFFECTIVE_USERS} are needed"
    return chart(title, draw, NARROW, legend=False, xlabel="place", ylim=(0, None))


def _table(name: str, found: Judgement) -> Table:
    rows = [
        [words, *(f"{value:.4f}" for value in (each.value, each.low, each.high, each.error))]
        for field, words in NAMES.items()
        for each in [getattr(found, field)]
    ]
    note = f"The log can't show {found.outside:.1%} of what the policy shows; {MOST_OUTSIDE:.0%} may be missing."
    return Table(name, ["estimate", "value", "low", "high", "standard error"], rows, note)
