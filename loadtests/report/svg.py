"""A chart as inline SVG in a page's own colours: classes name what a mark is, page.css and `COLOURS` how it looks."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element, SubElement

from loadtests.report.value import Chart, Rule

WIDTH, HEIGHT = 640, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 40


def svg(chart: Chart) -> Element:
    """The chart, as wide as what it stands in."""
    root = Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": chart.title})
    _axes(root, chart)
    for part, left, right, foot, top in chart.stacked():
        height = _y(chart, foot) - _y(chart, top)
        width = max(_x(chart, right) - _x(chart, left) - 0.6, 0.6)
        corner = {"x": f"{_x(chart, left):.1f}", "y": f"{_y(chart, top):.1f}"}
        size = {"width": f"{width:.1f}", "height": f"{height:.1f}"}
        SubElement(root, "rect", {**corner, **size, "class": f"fill {part.kind}"})
    for line in chart.lines:
        for piece in line.pieces():
            path = " ".join(f"{_x(chart, x):.1f},{_y(chart, y):.1f}" for x, y in piece)
            dashed = " dashed" if line.dashed else ""
            if line.joined:
                SubElement(root, "polyline", {"points": path, "class": f"line {line.kind}{dashed}"})
            for x, y in piece if line.dots or not line.joined or len(piece) == 1 else ():
                place = {"cx": f"{_x(chart, x):.1f}", "cy": f"{_y(chart, y):.1f}"}
                SubElement(root, "circle", {**place, "r": "3", "class": f"fill {line.kind}"})
        for (x, _), (low, high) in zip(line.points, line.spread, strict=False):
            _stroke(root, _x(chart, x), _x(chart, x), _y(chart, low), _y(chart, high), f"line {line.kind}")
    for number, rule in enumerate(each for each in chart.rules if math.isfinite(each.value)):
        _rule(root, chart, rule, number)
    return root


def _axes(root: Element, chart: Chart) -> None:
    for tick in chart.y.ticks:
        _stroke(root, LEFT, WIDTH - RIGHT, _y(chart, tick), _y(chart, tick), "grid")
        _text(root, LEFT - 6, _y(chart, tick) + 4, f"{tick:,.10g}", "end")
    for tick in chart.x.ticks:
        _stroke(root, _x(chart, tick), _x(chart, tick), HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4, "grid")
        _text(root, _x(chart, tick), HEIGHT - BOTTOM + 16, f"{tick:,.10g}", "middle")
    _text(root, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, chart.x_label, "middle")


def _rule(root: Element, chart: Chart, rule: Rule, number: int) -> None:
    if rule.axis == "y":
        y = _y(chart, rule.value)
        _stroke(root, LEFT, WIDTH - RIGHT, y, y, f"line dashed {rule.kind}")
        _text(root, WIDTH - RIGHT - 2, y - 4 if y > TOP + 10 else y + 12, rule.label, "end", f"word {rule.kind}")
        return
    x = _x(chart, rule.value)
    _stroke(root, x, x, TOP, HEIGHT - BOTTOM, f"line dashed {rule.kind}")
    shift, anchor = (-4, "end") if x > WIDTH - 130 else (4, "start")
    # Rules may stand close to each other: each writes on a line of its own.
    _text(root, x + shift, TOP + 10 + 13 * number, rule.label, anchor, f"word {rule.kind}")


def _x(chart: Chart, value: float) -> float:
    return LEFT + chart.x.place(value) * (WIDTH - LEFT - RIGHT)


def _y(chart: Chart, value: float) -> float:
    return HEIGHT - BOTTOM - chart.y.place(value) * (HEIGHT - TOP - BOTTOM)


def _stroke(root: Element, x1: float, x2: float, y1: float, y2: float, kind: str) -> None:
    ends = {"x1": x1, "x2": x2, "y1": y1, "y2": y2}
    SubElement(root, "line", {name: f"{value:.1f}" for name, value in ends.items()} | {"class": kind})


def _text(root: Element, x: float, y: float, words: str, anchor: str, kind: str = "") -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    SubElement(root, "text", place | ({"class": kind} if kind else {})).text = words
