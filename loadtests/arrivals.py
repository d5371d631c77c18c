"""Arrivals of a load test: the random moments at which it sends requests, at a rate that may change over time.

They are a Poisson process, the same for the same seed, and independent of the answers. A shape is the rate over time:
steady, step, spike, overload or tide.
"""

from __future__ import annotations

import random
from argparse import ArgumentTypeError
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A rate of arrivals over time: pieces of (seconds, rate a second), each constant."""

    name: str
    pieces: tuple[tuple[float, float], ...]

    @classmethod
    def read(cls, text: str) -> Shape:
        """From the text "SECONDS:RATE,SECONDS:RATE" of an option."""
        try:
            split = [each.split(":") for each in text.split(",")]
            pieces = tuple((float(seconds), float(rate)) for seconds, rate in split)
        except ValueError:
            pieces = ()
        if not pieces or not all(0 < seconds < 1e6 and 0 <= rate < 1e6 for seconds, rate in pieces):
            raise ArgumentTypeError(f"{text!r} is not SECONDS:RATE,SECONDS:RATE, like 10:100,5:500")
        return cls("pieces", pieces)

    def __str__(self) -> str:
        return ",".join(f"{seconds:g}:{rate:g}" for seconds, rate in self.pieces)

    @property
    def seconds(self) -> float:
        """Length of all pieces."""
        return sum(seconds for seconds, _ in self.pieces)

    def arrivals(self, seed: int | str) -> Iterator[float]:
        """Moments in seconds from the start, ascending; the same for the same seed."""
        chance, start = random.Random(seed), 0.0
        for seconds, rate in self.pieces:
            # Poisson arrivals have no memory: each piece starts its own gaps.
            at = start + chance.expovariate(rate) if rate else start + seconds
            while at < start + seconds:
                yield at
                at += chance.expovariate(rate)
            start += seconds


def _steady(rate: float, seconds: float) -> Shape:
    return Shape("steady", ((seconds, rate),))


def _step(rate: float, seconds: float) -> Shape:
    """A third each at a half, the whole and one and a half of the rate."""
    return Shape("step", tuple((seconds / 3, rate * share) for share in (0.5, 1.0, 1.5)))


def _spike(rate: float, seconds: float) -> Shape:
    """Three times the rate for a tenth of the time, with the rate itself around it."""
    return Shape("spike", ((seconds * 0.4, rate), (seconds * 0.1, 3 * rate), (seconds * 0.5, rate)))


def _overload(rate: float, seconds: float) -> Shape:
    """The rate, twice and five times the rate, with the rate itself between them and after them."""
    fifth = seconds / 5
    return Shape("overload", ((fifth, rate), (fifth, 2 * rate), (fifth, rate), (fifth, 5 * rate), (fifth, rate)))


def _tide(rate: float, seconds: float) -> Shape:
    """Two days in a run: twenty steps between a fifth of the rate and the rate."""
    shares = (0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2) * 2
    return Shape("tide", tuple((seconds / len(shares), rate * share) for share in shares))


SHAPES = {"steady": _steady, "step": _step, "spike": _spike, "overload": _overload, "tide": _tide}
"""By name: a function of the rate and of the seconds in all."""
