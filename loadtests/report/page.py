"""A report as one HTML file that asks nothing of the network and runs nothing, on light paper or dark."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from loadtests.report.svg import svg
from loadtests.report.value import COLOURS, Chart, Report, Table

STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_MARKS = {"held": "good", "BROKEN": "bad", "did not hold": "bad"}
"""Words of a table that are coloured."""


def page(report: Report) -> str:
    """The whole page."""
    root = Element("html", {"lang": "en"})
    head = SubElement(root, "head")
    SubElement(head, "meta", {"charset": "utf-8"})
    SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    SubElement(head, "title").text = report.title
    SubElement(head, "style").text = _style()
    main = SubElement(SubElement(root, "body"), "main")
    SubElement(main, "h1").text = report.title
    SubElement(main, "p", {"class": "byline"}).text = report.byline
    kind = {True: "good", False: "bad", None: ""}[report.good]
    SubElement(main, "p", {"class": f"verdict {kind}"}).text = report.sentence
    for part in report.parts:
        main.append(_table(part) if isinstance(part, Table) else _figure(part))
    return f"<!doctype html>\n{tostring(root, encoding='unicode', method='html')}\n"


def _table(table: Table) -> Element:
    wide = Element("section", {"class": "wide"})
    SubElement(wide, "h2").text = table.title
    drawn = SubElement(wide, "table")
    for name, rows in (("thead", [table.header]), ("tbody", table.rows)):
        part = SubElement(drawn, name)
        for row in rows:
            line = SubElement(part, "tr")
            for number, cell in enumerate(row):
                tag = "td" if number and name == "tbody" else "th"
                SubElement(line, tag, {"class": _MARKS.get(cell, "")}).text = cell
    return wide


def _figure(chart: Chart) -> Element:
    figure = Element("figure")
    SubElement(figure, "h2").text = chart.title
    if chart.empty:
        SubElement(figure, "p", {"class": "soft"}).text = "Nothing to draw."
        return figure
    legend = SubElement(figure, "figcaption")
    SubElement(legend, "span", {"class": "soft"}).text = chart.y_label
    keys = [(part.kind, part.label) for part in chart.bars] + [(line.kind, line.label) for line in chart.lines]
    for kind, label in keys:
        SubElement(legend, "span", {"class": f"key {kind}"}).text = label
    figure.append(svg(chart))
    return figure


def _style() -> str:
    light, dark = ("".join(f"--{kind}: {pair[which]}; " for kind, pair in COLOURS.items()) for which in (0, 1))
    kinds = "".join(f".{kind} {{ --kind: var(--{kind}); }}\n" for kind in COLOURS)
    told = STYLE.read_text(encoding="utf-8")
    return f":root {{ {light}}}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}\n{kinds}{told}"
