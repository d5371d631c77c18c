"""The ratio of two sums over users, such as clicks per slate, with the variance that its users give it.

Slates of one user are not independent, so the unit is the user. The variance is that of the delta method (Deng,
Knoblich, Lu 2018, "Applying the Delta Method in Metric Analytics"). CUPED (Deng, Xu, Kohavi, Walker 2013) subtracts the
part of the ratio that users' earlier behaviour explains. All functions take leading dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from recsys.types import F64, Bool


@dataclass(frozen=True, slots=True)
class Moments:
    """The moments of V figures over users. count: [...]. mean: [..., V]. covariance: [..., V, V], of a sample.

    The figures are numerator and denominator, and with V = 4 also those of the period before the experiment.
    """

    count: F64
    mean: F64
    covariance: F64

    @classmethod
    def of(cls, values: F64, members: Bool | None = None) -> Self:
        """The moments of users' figures, [..., n, V]. members: [..., n], the users who count; at least 2, else nan."""
        present = np.ones(values.shape[:-1], bool) if members is None else members
        count = present.sum(axis=-1, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (values * present[..., None]).sum(axis=-2) / count[..., None]
            centred = (values - mean[..., None, :]) * present[..., None]
            return cls(count, mean, np.swapaxes(centred, -1, -2) @ centred / (count - 1)[..., None, None])

    def __add__(self, other: Moments) -> Moments:
        """The moments of both groups of users together."""
        count = self.count + other.count
        apart = self.mean - other.mean
        mean = (_wide(self.count) * self.mean + _wide(other.count) * other.mean) / _wide(count)
        between = (self.count * other.count / count)[..., None, None] * apart[..., :, None] * apart[..., None, :]
        within = (self.count - 1)[..., None, None] * self.covariance
        within = within + (other.count - 1)[..., None, None] * other.covariance
        return Moments(count, mean, (within + between) / (count - 1)[..., None, None])


@dataclass(frozen=True, slots=True)
class Ratio:
    """An estimated ratio and the variance of the estimate."""

    value: F64
    variance: F64


@dataclass(frozen=True, slots=True)
class Lift:
    """The relative difference of an arm's ratio from the control's, as the logarithm of arm / control.

    error: the standard error of the logarithm.
    """

    log: F64
    error: F64


def ratio(of: Moments) -> Ratio:
    """The ratio of a group of users."""
    return _estimate(of.mean[..., 0] / of.mean[..., 1], _gradient(of.mean), of)


def adjusted(control: Moments, arm: Moments) -> tuple[Ratio, Ratio]:
    """The ratios of both groups after CUPED. The moments have V = 4; each group has slates from before."""
    together = control + arm
    weight, before = _weight(together), together.mean[..., 2] / together.mean[..., 3]
    found = []
    for group in (control, arm):
        value = group.mean[..., 0] / group.mean[..., 1]
        value = value - weight * (group.mean[..., 2] / group.mean[..., 3] - before)
        gradient = np.concatenate(
            [_gradient(group.mean[..., :2]), -_wide(weight) * _gradient(group.mean[..., 2:])], axis=-1
        )
        found.append(_estimate(value, gradient, group))
    return found[0], found[1]


def lift(control: Ratio, arm: Ratio) -> Lift:
    """The lift of an arm; both ratios are above 0."""
    error = np.sqrt(control.variance / control.value**2 + arm.variance / arm.value**2)
    return Lift(np.log(arm.value / control.value), error)


def _gradient(mean: F64) -> F64:
    """The derivatives of the ratio by both means, [..., 2]."""
    top, bottom = mean[..., 0], mean[..., 1]
    return np.stack([1 / bottom, -top / bottom**2], axis=-1)


def _estimate(value: F64, gradient: F64, group: Moments) -> Ratio:
    covariance = group.covariance[..., : gradient.shape[-1], : gradient.shape[-1]]
    return Ratio(value, np.einsum("...v,...vw,...w->...", gradient, covariance, gradient) / group.count)


def _weight(together: Moments) -> F64:
    """The coefficient of the earlier ratio, from all users: the covariance over the variance."""
    now, before = _gradient(together.mean[..., :2]), _gradient(together.mean[..., 2:])
    covariance = np.einsum("...v,...vw,...w->...", now, together.covariance[..., :2, 2:], before)
    variance = np.einsum("...v,...vw,...w->...", before, together.covariance[..., 2:, 2:], before)
    weight: F64 = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0)
    return weight


def _wide(figures: F64) -> F64:
    return np.asarray(figures)[..., None]
