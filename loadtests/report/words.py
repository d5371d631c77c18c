"""Figures and lines as the words of a table."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.report.value import Table
from loadtests.slo import Line


def spread(values: Sequence[float], spec: str) -> str:
    """Least and most, or the one that both are."""
    low, high = f"{min(values):{spec}}", f"{max(values):{spec}}"
    return low if low == high else f"{low}-{high}"


def held(title: str, lines: Sequence[Line]) -> Table:
    """Every line with its limit, and whether it held."""
    rows = [
        [line.name, f"{line.limit:,.4g}", f"{line.measured:,.4g}", "held" if line.held else "BROKEN"] for line in lines
    ]
    return Table(title, ["", "limit", "measured", ""], rows)


def broken(lines: Sequence[Line]) -> str:
    """Those that did not hold, in words; nothing where all did."""
    return "; ".join(
        f"{line.name} {line.measured:,.4g}, and {line.limit:,.4g} is the limit" for line in lines if not line.held
    )
