"""Intervals for the lift of an arm that stay valid however often the figures are read: a confidence sequence.

The asymptotic confidence sequence of a normal mixture: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, "Time-uniform
central limit theory and asymptotic confidence sequences", Theorem 2.2. In the paper the half width after t users is
sqrt(2 (t r² + 1) / (t² r²) log(sqrt(t r² + 1) / alpha)) standard deviations. Here the standard error
stands in place of the deviation over sqrt(t), and MIXTURE in place of r standard deviations. The value is the same, for
any unit of time.
"""

from __future__ import annotations

import numpy as np

from training.experiments.ratio import Lift, Ratio

ALPHA = 0.05
"""The probability that the interval of some look does not contain the lift. The windows of an experiment share it
(`Window.level_share`), and so do the arms."""

MIXTURE = 0.2
"""The standard deviation of the mixture, of the logarithm of the lift. The interval is tightest at a standard error
of 7 %: 3.0 standard errors to each side. It is 3.5 at 1 %, and 3.5 at 20 %. Tuned for lifts of 10 to 30 %."""

LEAST_USERS, LEAST_TAKEN = 100, 50
"""Users of each arm, and slates of each arm with a taken item, from which on the interval holds its level. With
fewer the sum of clicks is too skewed for a normal limit."""


def half_width(error: float, alpha: float = ALPHA) -> float:
    """The half width of the interval at a standard error, in the unit of the error."""
    share = (error / MIXTURE) ** 2
    return float(error * np.sqrt((1 + share) * (np.log1p(1 / share) - 2 * np.log(alpha))))


def interval(of: Lift, alpha: float = ALPHA) -> tuple[float, float]:
    """The lower and the upper bound of the relative lift, 0.02 for 2 % more than the control."""
    half = half_width(of.error, alpha)
    return float(np.expm1(of.log - half)), float(np.expm1(of.log + half))


def interval_of_few(control: Ratio, arm: Ratio, size: float, alpha: float = ALPHA) -> tuple[float, float]:
    """The bounds for an arm with fewer than LEAST_TAKEN clicks where more are expected. size: arm's slates / control's.

    The variance is that of the control's users: the few clicks of the arm say too little about the variance.
    """
    half = half_width(np.sqrt(control.variance * (1 + 1 / size)) / control.value, alpha)
    lift = arm.value / control.value - 1
    return max(-1.0, lift - half), lift + half
