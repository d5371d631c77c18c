"""Curves of the capacity model: how one measured quantity, such as the CPU of a training step, grows with the data.

A curve is a sum of terms with coefficients of 0 or more: a constant, and a cost for each event, item or user. The
coefficients are a least-squares fit of the relative errors, so that a small size counts as much as a large one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError
from scipy.optimize import nnls

from recsys.errors import SettingsError

MILLION = 1e6


@dataclass(frozen=True)
class Size:
    """A size of the data. users: of the log; of a deployment, those with a record."""

    items: int
    interactions: int
    users: int


@dataclass(frozen=True)
class Measured:
    """The values that were measured at one size, by quantity."""

    size: Size
    values: Mapping[str, float]


TERMS: dict[str, Callable[[Size], float]] = {
    "": lambda _: 1.0,
    "events": lambda size: size.interactions / MILLION,
    "items": lambda size: size.items / MILLION,
    "users": lambda size: size.users / MILLION,
    "events x items": lambda size: size.interactions * size.items / MILLION**2,
    "users x items": lambda size: size.users * size.items / MILLION**2,
}
"""What a curve may grow with, in millions."""

TRAINING = ("", "events", "items")
"""The terms of a training step, where SEARCHED has no others."""

SEARCHED = {
    "towers CPU s": ("", "events", "items", "events x items"),  # each tenth step averages the rows of all items
    "export CPU s": ("", "users", "items", "users x items"),  # each user's candidates come from a search of all items
}

SERVING = {
    **dict.fromkeys(("slate CPU ms", "list CPU ms", "generation MiB"), ("", "items")),
    **dict.fromkeys(("gateway MiB", "retrieval MiB", "ranking MiB", "supervisor MiB"), ("", "items")),
    **dict.fromkeys(("record bytes", "list bytes", "store CPU ms"), ("",)),
    **dict.fromkeys(("client bytes", "store bytes", "backend bytes"), ("",)),
}
"""The terms of what a deployment takes: CPU, traffic and store CPU of a slate, CPU and bytes of a list, bytes of a
user's record, memory of each process, and memory of a generation in the store without the records."""


@dataclass(frozen=True)
class Curve:
    """A quantity as a sum of terms. weights: the coefficient of each term."""

    weights: Mapping[str, float]

    def at(self, size: Size) -> float:
        """The value at a size."""
        return sum(weight * TERMS[term](size) for term, weight in self.weights.items())

    def formula(self) -> str:
        """The sum as text; events, items and users in millions."""
        parts = [f"{weight:,.3g} {term}".rstrip() for term, weight in self.weights.items() if weight > 0]
        return " + ".join(parts) or "0"


def fit(terms: Sequence[str], points: Sequence[tuple[Size, float]]) -> Curve:
    """The curve of these terms with the smallest relative errors at the points, whose values are above 0."""
    values = np.array([value for _, value in points])
    rows = np.array([[TERMS[term](size) for term in terms] for size, _ in points]) / values[:, None]
    largest = rows.max(axis=0)  # columns of equal size: the solver stops at an absolute tolerance
    weights, _ = nnls(rows / largest, np.ones(len(points)))
    return Curve(dict(zip(terms, (weights / largest).tolist(), strict=True)))


def fit_all(measured: Iterable[Measured]) -> dict[str, Curve]:
    """A curve for each quantity of the measurements."""
    points: dict[str, list[tuple[Size, float]]] = {}
    for each in measured:
        for name, value in each.values.items():
            points.setdefault(name, []).append((each.size, value))
    return {name: fit(SERVING.get(name) or SEARCHED.get(name, TRAINING), found) for name, found in points.items()}


@dataclass(frozen=True)
class Measurements:
    """The measurements of a machine, which a file keeps. machine: in words."""

    machine: str
    seen: list[Measured]

    @classmethod
    def read(cls, path: Path) -> Measurements:
        """The measurements of a file; SettingsError with a sentence if it can't be read."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except OSError as error:
            raise SettingsError(f"The measurements {path} can't be read: {error.strerror}.") from error
        except ValidationError as error:
            raise SettingsError(
                f"{path} has no measurements of capacity. Remove it and run python -m loadtests.capacity measure."
            ) from error
