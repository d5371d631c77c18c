"""Freshness curves: how much worse recommendations become when a part of them is made less often than at each request.

`python -m training advise` measures them on a log, or reads them from a file that `Measurement.to_json` wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic import model_validator as validates
from pydantic.dataclasses import dataclass as checked_dataclass
from scipy.optimize import isotonic_regression

from recsys.errors import DatasetError
from recsys.surfaces import shown_duration
from recsys.types import F64

What = Literal["model", "history", "list", "list_ranked", "trending"]
"""What is out of date: the trained models, the user's events, a stored list that is served as it is, a stored list
whose items are ranked at the request, the trending items. The rest is up to date."""

WHATS: dict[What, str] = {
    "model": "trained models",
    "history": "the user's events",
    "list": "stored list, served as it is",
    "list_ranked": "stored list, ranked at the request",
    "trending": "trending items",
}
Segment = Literal["all", "warm", "cold", "in_session", "heavy"]

SEGMENTS: dict[Segment, str] = {
    "all": "all queries",
    "warm": "queries of users known at the training",
    "cold": "queries of users new since the training",
    "in_session": "queries within a visit",
    "heavy": "queries of the most active users",
}
"""Segments of the queries, with their names."""

STRICT = ConfigDict(extra="forbid")
"""Of a class that is read from JSON: a misspelt field is an error."""

NAMES = {"recall": "Recall@10", "ndcg": "NDCG@10"}
"""The metrics of a curve by field."""

SMALLEST_ERROR = 1e-6
"""The least standard error in a fit. At age 0 all queries have the same answer, and the error is 0."""

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@checked_dataclass(frozen=True, config=STRICT)
class MetricByAge:
    """One metric at each age. mean, se: over the queries, with one standard error, clustered by user.

    paired_loss, paired_se: of the same queries, the metric of an answer that is made whole at the request (mode
    realtime), less the metric at this age. A positive loss is a worse answer.
    """

    mean: tuple[_Positive, ...]
    se: tuple[_Positive, ...]
    paired_loss: tuple[_Finite, ...]
    paired_se: tuple[_Positive, ...]


@checked_dataclass(frozen=True, config=STRICT)
class FreshnessCurve:
    """Recall@10 and NDCG@10 of one segment by age.

    ages_s: ascending seconds between two times at which the part is made; 0: at each request. judged: whether the
    log's times allow a figure at this age. They do not at ages below a day where times are interpolated.
    """

    what: What
    segment: Segment
    queries: Annotated[int, Field(ge=0)]
    ages_s: tuple[_Positive, ...]
    judged: tuple[bool, ...]
    recall: MetricByAge
    ndcg: MetricByAge

    @validates(mode="after")
    def _check_lengths(self) -> Self:
        columns = [self.judged, *(column for metric in (self.recall, self.ndcg) for column in _columns(metric))]
        if not self.ages_s or any(len(column) != len(self.ages_s) for column in columns):
            raise ValueError("every list of a curve has one entry for each of its ages")
        if any(late <= early for early, late in pairwise(self.ages_s)):
            raise ValueError("the ages of a curve ascend")
        return self


def _columns(metric: MetricByAge) -> tuple[tuple[float, ...], ...]:
    return metric.mean, metric.se, metric.paired_loss, metric.paired_se


@dataclass(frozen=True)
class Fit:
    """A curve of losses that never falls with age, fitted to a measured one.

    loss: at each age, None where the age is not judged. outside: the ages at which the fit is further than two
    standard errors from the measured loss.
    """

    loss: tuple[float | None, ...]
    outside: tuple[float, ...]


def fit(curve: FreshnessCurve, metric: MetricByAge) -> Fit:
    """Isotonic regression of the paired losses at the judged ages, by pool adjacent violators."""
    rows = np.flatnonzero(curve.judged)
    if not len(rows):
        return Fit((None,) * len(curve.ages_s), ())
    losses, errors = np.asarray(metric.paired_loss)[rows], np.asarray(metric.paired_se)[rows].clip(SMALLEST_ERROR)
    fitted: F64 = isotonic_regression(losses, weights=errors**-2.0).x
    by_row = dict(zip(rows.tolist(), fitted.tolist(), strict=True))
    outside = rows[np.abs(fitted - losses) > 2 * errors]
    return Fit(tuple(by_row.get(row) for row in range(len(curve.ages_s))), tuple(curve.ages_s[row] for row in outside))


@dataclass(frozen=True)
class Loss:
    """The fitted loss at an age. share: of the metric of an answer made at the request. se: of the share."""

    age_s: float
    share: float
    se: float

    def exceeds(self, tolerance: float) -> bool:
        """Whether the loss is measured to be above a share, by more than chance."""
        return self.share > tolerance and self.share > 2 * self.se


def misfits(curve: FreshnessCurve) -> Iterator[str]:
    """A sentence for each metric that is measured not to fall with age."""
    for field, name in NAMES.items():
        metric = getattr(curve, field)
        if ages := fit(curve, metric).outside:
            place = f"{WHATS[curve.what]}, {SEGMENTS[curve.segment]}, {name}"
            at = ", ".join(map(shown_duration, ages))
            yield f"{place}: at {at} no curve that falls with age fits within two standard errors."


def losses(curve: FreshnessCurve) -> list[Loss]:
    """The losses of Recall@10 at the judged ages, from the freshest."""
    metric, found = curve.recall, []
    for row, loss in enumerate(fit(curve, metric).loss):
        fresh = metric.mean[row] + metric.paired_loss[row]
        if loss is not None and fresh > 0:
            found.append(Loss(curve.ages_s[row], loss / fresh, max(metric.paired_se[row], SMALLEST_ERROR) / fresh))
    return found


def loss_at(curve: FreshnessCurve | None, period: float) -> Loss | None:
    """The loss at the least judged age that is not below `period`, None without one: losses do not fall with age."""
    return next((loss for loss in losses(curve) if loss.age_s >= period), None) if curve else None


def freshest(curve: FreshnessCurve | None, tolerance: float) -> float | None:
    """The greatest judged age up to which a part is fresh enough, -1 without such an age; None if no age was judged.

    A part that is too old at one age is too old at each greater age, also where that loss is measured less exactly.
    """
    found = losses(curve) if curve else []
    enough = takewhile(lambda loss: not loss.exceeds(tolerance), found)
    return max((loss.age_s for loss in enough), default=-1.0) if found else None


@checked_dataclass(frozen=True, config=STRICT)
class Measurement:
    """The curves of a dataset. exact_times: whether the log's times are real ones, not interpolated within a day.

    notes: what was not measured, in sentences.
    """

    data: str
    users: Annotated[int, Field(ge=0)]
    items: Annotated[int, Field(ge=0)]
    queries: Annotated[int, Field(ge=0)]
    exact_times: bool
    curves: tuple[FreshnessCurve, ...]
    notes: tuple[str, ...] = ()

    @validates(mode="after")
    def _check_curves(self) -> Self:
        keys = [(curve.what, curve.segment) for curve in self.curves]
        if len(set(keys)) < len(keys):
            raise ValueError("two curves have the same `what` and the same segment")
        return self

    def curve(self, what: What, segment: str = "all") -> FreshnessCurve | None:
        """The curve of a part in a segment, None if it was not measured or has no queries."""
        found = (curve for curve in self.curves if (curve.what, curve.segment) == (what, segment) and curve.queries)
        return next(found, None)

    def to_json(self) -> str:
        """The text that `read` reads back."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def read(cls, path: Path) -> Measurement:
        """The curves of a file; DatasetError with a sentence if they can't be read."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes(), strict=True)
        except OSError as error:
            raise DatasetError(f"The freshness curves of {path} can't be read: {error.strerror}.") from error
        except ValidationError as error:
            raise DatasetError(f"{path} holds no freshness curves: {mistake(error)}.") from error


def mistake(error: ValidationError) -> str:
    """The first mistake in a file that a program wrote: its place and pydantic's message."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}".removeprefix(": ").replace("Value error, ", "").rstrip(".")
