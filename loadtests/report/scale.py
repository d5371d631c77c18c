"""From values to places along an axis, with round numbers beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_TICKS = 9


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, both round numbers, and low below high."""

    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, values: Sequence[float], log: bool) -> Scale:
        """One that holds all of these values; those not above 0 have no place on a logarithmic one."""
        values = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        if not values:
            return cls(1.0, 10.0, True) if log else cls(0.0, 1.0, False)
        low, high = min(values), max(values)
        if log:
            low, high = _round_below(low), _round_above(high)
            return cls(low, high if high > low else 10 * low, True)
        step = _step(low, high)
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        return cls(low, high if high > low else low + step, False)

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`; what is outside stands at the nearer end."""
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)

    @property
    def ticks(self) -> list[float]:
        """Round numbers from low to high."""
        if not self.log:
            step = _step(self.low, self.high)
            return [round(self.low + n * step, 10) for n in range(round((self.high - self.low) / step) + 1)]
        decades = range(math.floor(math.log10(self.low) + 1e-9), math.ceil(math.log10(self.high) - 1e-9) + 1)
        fine = [lead * 10.0**decade for decade in decades for lead in (1, 2, 5)]
        inside = [tick for tick in fine if self.low * 0.999 <= tick <= self.high * 1.001]
        if len(inside) <= _MOST_TICKS:
            return inside
        return [10.0**decade for decade in decades if self.low * 0.999 <= 10.0**decade <= self.high * 1.001]


def _step(low: float, high: float, about: int = 5) -> float:
    rough = (high - low or abs(high) or 1.0) / about
    power = 10.0 ** math.floor(math.log10(rough))
    return next(lead * power for lead in (1, 2, 5, 10) if lead * power >= rough * 0.999)


def _round_below(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return max(lead * power for lead in (1, 2, 5) if lead * power <= value * 1.001)


def _round_above(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return min(lead * power for lead in (1, 2, 5, 10) if lead * power >= value * 0.999)
