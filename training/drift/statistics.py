"""The statistics of drift: how far two samples of one column differ, and whether chance explains the difference.

The size is the population stability index (PSI) over bins. The p value is of the two-sample Kolmogorov-Smirnov test for
numbers, and of the chi-square test for categories.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, ks_2samp

from recsys.types import F64, I64

BINS = 10
"""Bins of a number, each with a tenth of the reference."""

CATEGORIES = 20
"""Categories that are compared, at most; the others count together."""

LEAST_COUNT = 5
"""Rows of a category in both samples together, below which the category counts with the others."""

OTHERS = "others"

PRIOR = 0.5
"""Added to each count of a PSI, so that an empty bin has a finite index."""


def binned(reference: F64, sample: F64) -> tuple[list[str], I64, I64]:
    """The upper ends of quantile bins of the reference, and how many values of each sample are in each bin."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) for values in (reference, sample)]
    return [*(f"{edge:.3g}" for edge in edges), "more"], counts[0], counts[1]


def counted(reference: Sequence[str], sample: Sequence[str]) -> tuple[list[str], I64, I64]:
    """The most frequent categories of both samples, and how many values of each sample are of each category.

    The two samples together decide which are the most frequent: a category that only one sample has is not lost.
    """
    both = [pd.Series(values).value_counts() for values in (reference, sample)]
    total = both[0].add(both[1], fill_value=0).sort_values(ascending=False, kind="stable")
    named = [name for name in total.index[:CATEGORIES] if total[name] >= LEAST_COUNT]
    counts = [np.array([int(each.get(name, 0)) for name in named]) for each in both]
    rest = [int(each.sum()) - int(found.sum()) for each, found in zip(both, counts, strict=True)]
    if any(rest):
        named, counts = [*named, OTHERS], [np.append(found, more) for found, more in zip(counts, rest, strict=True)]
    return named, counts[0], counts[1]


def psi(reference: I64, sample: I64) -> float:
    """The population stability index of two rows of counts: 0 if the shares are the same."""
    shares = [(each + PRIOR) / (each.sum() + PRIOR * len(each)) for each in (reference, sample)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def p_of_numbers(reference: F64, sample: F64) -> float:
    """The p value of the Kolmogorov-Smirnov test, whose rows are independent."""
    return float(ks_2samp(reference, sample, method="asymp").pvalue)


def p_of_categories(reference: I64, sample: I64) -> float:
    """The p value of the chi-square test of two rows of counts; 1 where all values are of one category."""
    table = np.stack([reference, sample])
    table = table[:, table.sum(axis=0) > 0]
    return float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0


def holm(p_values: Sequence[float]) -> F64:
    """The p values, corrected for their number by Holm's method.

    The chance of any false alarm among them is then at most the level, however the columns depend on each other.
    Features of one item depend strongly, so no method that assumes independent tests is used.
    """
    found = np.asarray(p_values, np.float64)
    order = np.argsort(found, kind="stable")
    steps = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    corrected = np.empty(len(found))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
