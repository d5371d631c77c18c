"""Charts as inline SVG, drawn in the page's own colours: classes name what a mark is, page.css how it looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.report.curves import Curve
from training.report.markup import Markup, element, join

WIDTH = 340
"""Of every chart, in its own units: two stand side by side on a page, one fills a phone."""

POINTS = 240
"""Of a curve, at most: more than a pixel each."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A figure with its error bar of two standard errors; kind: served, stage or baseline."""

    label: str
    value: float
    error: float
    kind: str


def learning_curve(curve: Curve, title: str) -> Markup:
    """Loss over a step."""
    height, left, right, top, bottom = 170, 40, 12, 10, 26
    points = [p for p in _thin(curve) if math.isfinite(p[1])]
    low, high = min(y for _, y in points), max(y for _, y in points)
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    first, last = points[0][0], points[-1][0]

    def x(share: float) -> float:
        return left + (share - first) / ((last - first) or 1) * (WIDTH - left - right)

    def y(loss: float) -> float:
        return height - bottom - (loss - low) / ((high - low) or 1) * (height - top - bottom)

    line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    return _svg(
        height,
        f"{title}: loss from {points[0][1]:.3f} to {points[-1][1]:.3f}",
        *(_across(y(t), left, WIDTH - right) for t in ticks),
        *(_text(left - 6, y(t) + 3.5, f"{t:g}", "end") for t in ticks),
        element("polyline", points=line, class_="curve"),
        element("circle", cx=f"{x(last):.1f}", cy=f"{y(points[-1][1]):.1f}", r=3, class_="served"),
        _text(WIDTH - right, max(y(points[-1][1]) - 8, 10), f"{points[-1][1]:.3f}", "end", "strong"),
        _text(left, height - 8, "start of the step", "start"),
        _text(WIDTH - right, height - 8, "its end", "end"),
    )


def dots(figures: Sequence[Dot], title: str, most: float) -> Markup:
    """Figures below each other on one scale from 0 to `most`, error bars of two standard errors through them."""
    row, left, right, top = 21, 122, 46, 6
    height = top + row * len(figures) + 24
    ticks = nice_ticks(0, most)
    most = max(most, ticks[-1])

    def x(value: float) -> float:
        return left + min(max(value, 0) / (most or 1), 1) * (WIDTH - left - right)

    marks: list[Markup] = [_down(x(t), top, height - 22) for t in ticks]
    marks += [_text(x(t), height - 8, f"{t:g}".replace("0.", "."), "middle") for t in ticks]
    for place, dot in enumerate(figures):
        y = top + row * (place + 0.5)
        bold = "strong" if dot.kind == "served" else ""
        ends = x(dot.value - 2 * dot.error), x(dot.value + 2 * dot.error)
        marks += [
            _text(left - 8, y + 4, dot.label, "end", bold),
            element("line", x1=f"{ends[0]:.1f}", x2=f"{ends[1]:.1f}", y1=y, y2=y, class_=f"whisker {dot.kind}"),
            element("circle", cx=f"{x(dot.value):.1f}", cy=y, r=4, class_=dot.kind),
            _text(WIDTH - 2, y + 4, f"{dot.value:.3f}".replace("0.", ".", 1), "end", f"figure {bold}"),
        ]
    return _svg(height, f"{title}: " + ", ".join(f"{d.label} {d.value:.3f}" for d in figures), *marks)


def histogram(ours: Sequence[int], theirs: Sequence[int] | None, title: str) -> Markup:
    """Bars of our shares; the live one's as steps over them."""
    height, left, right, top, bottom = 190, 40, 12, 10, 34
    shares = _shares(ours)
    before = _shares(theirs) if theirs else None
    ticks = nice_ticks(0, max([*shares, *(before or [])]))
    most = ticks[-1]
    step = (WIDTH - left - right) / len(shares)

    def y(share: float) -> float:
        return height - bottom - share / (most or 1) * (height - top - bottom)

    bars = [
        element(
            "rect",
            element("title", f"{share:.1%} of the queries"),
            x=f"{left + step * bar + 1:.1f}",
            y=f"{y(share):.1f}",
            width=f"{step - 2:.1f}",
            height=f"{max(height - bottom - y(share), 0):.1f}",
            class_="bar",
        )
        for bar, share in enumerate(shares)
    ]
    steps = [
        f"{left + step * (bar + end):.1f},{y(share):.1f}" for bar, share in enumerate(before or []) for end in (0, 1)
    ]
    return _svg(
        height,
        title,
        *(_across(y(t), left, WIDTH - right) for t in ticks),
        *(_text(left - 6, y(t) + 3.5, f"{t:.0%}", "end") for t in ticks),
        *bars,
        element("polyline", points=" ".join(steps), class_="before") if steps else None,
        *(_text(left + step * t * len(shares) / 5, height - 18, f"{t / 5:g}", "middle") for t in range(6)),
        _text((left + WIDTH - right) / 2, height - 3, "softmax on the first ten", "middle"),
    )


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers from just below `low` to just above `high`."""
    apart = high - low > 1e-6 * max(abs(low), abs(high), 1.0)
    rough = (high - low if apart else 1.0) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 10) for n in range(first, max(last, first + 1) + 1)]


def _thin(curve: Curve) -> Curve:
    step = max(1, -(-len(curve) // POINTS))
    return [*curve[:-1:step], curve[-1]]


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _svg(height: int, told: str, *children: object) -> Markup:
    return element("svg", join(*children), viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=told)


def _across(y: float, left: float, right: float) -> Markup:
    return element("line", x1=left, x2=right, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid")


def _down(x: float, top: float, bottom: float) -> Markup:
    return element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=top, y2=bottom, class_="grid")


def _text(x: float, y: float, text: str, anchor: str, class_: str | None = None) -> Markup:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=class_ or None)
