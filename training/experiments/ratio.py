"""The ratio of two sums over users, such as clicks per slate, with the variance that its users give it.

Slates of one user are not independent, so the unit is the user. The variance is that of the delta method (Deng,
Knoblich, Lu 2018, "Applying the Delta Method in Metric Analytics"). CUPED (Deng, Xu, Kohavi, Walker 2013) subtracts the
part of the ratio that users' earlier behaviour explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from recsys.types import F64


@dataclass(frozen=True, slots=True)
class Moments:
    """The moments of V figures over users. mean: [V]. covariance: [V, V], of a sample.

    The figures are numerator and denominator, and with V = 4 also those of the period before the experiment.
    """

    count: int
    mean: F64
    covariance: F64

    @classmethod
    def of(cls, values: F64) -> Self:
        """The moments of users' figures, [n, V], of at least 2 users."""
        mean = values.mean(axis=0)
        centred = values - mean
        return cls(len(values), mean, centred.T @ centred / (len(values) - 1))

    def __add__(self, other: Moments) -> Moments:
        """The moments of both groups of users together."""
        count = self.count + other.count
        mean = (self.count * self.mean + other.count * other.mean) / count
        apart = self.mean - other.mean
        between = self.count * other.count / count * np.outer(apart, apart)
        within = (self.count - 1) * self.covariance + (other.count - 1) * other.covariance
        return Moments(count, mean, (within + between) / (count - 1))


@dataclass(frozen=True, slots=True)
class Ratio:
    """An estimated ratio and the variance of the estimate."""

    value: float
    variance: float


@dataclass(frozen=True, slots=True)
class Lift:
    """The relative difference of an arm's ratio from the control's, as the logarithm of arm / control.

    error: the standard error of the logarithm.
    """

    log: float
    error: float


def ratio(of: Moments) -> Ratio:
    """The ratio of a group of users."""
    return _estimate(of.mean[0] / of.mean[1], _gradient(of.mean), of)


def adjusted(control: Moments, arm: Moments) -> tuple[Ratio, Ratio]:
    """The ratios of both groups after CUPED. The moments have V = 4; each group has slates from before."""
    together = control + arm
    weight, before = _weight(together), together.mean[2] / together.mean[3]
    found = []
    for group in (control, arm):
        value = group.mean[0] / group.mean[1] - weight * (group.mean[2] / group.mean[3] - before)
        gradient = np.concatenate([_gradient(group.mean[:2]), -weight * _gradient(group.mean[2:])])
        found.append(_estimate(value, gradient, group))
    return found[0], found[1]


def lift(control: Ratio, arm: Ratio) -> Lift:
    """The lift of an arm; both ratios are above 0."""
    error = np.sqrt(control.variance / control.value**2 + arm.variance / arm.value**2)
    return Lift(np.log(arm.value / control.value), error)


def _gradient(mean: F64) -> F64:
    """The derivatives of the ratio by both means: [2]."""
    return np.array([1 / mean[1], -mean[0] / mean[1] ** 2])


def _estimate(value: float, gradient: F64, group: Moments) -> Ratio:
    covariance = group.covariance[: len(gradient), : len(gradient)]
    return Ratio(value, float(gradient @ covariance @ gradient) / group.count)


def _weight(together: Moments) -> float:
    """The coefficient of the earlier ratio, from all users: the covariance over the variance; 0 without a variance."""
    now, before = _gradient(together.mean[:2]), _gradient(together.mean[2:])
    variance = before @ together.covariance[2:, 2:] @ before
    return float(now @ together.covariance[:2, 2:] @ before / variance) if variance > 0 else 0.0
