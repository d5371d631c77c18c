"""The page: one HTML file that asks nothing of the network, in the order a reader asks."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from training.evaluation import METRICS
from training.report.findings import Findings
from training.report.markup import Markup, element, join
from training.report.sections import curves, metrics, scores, users


def write(findings: Findings, path: Path) -> Path:
    """Write the page of `findings` to `path`, whole or not at all; the path."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(page(findings), encoding="utf-8")
    return draft.replace(path)


def page(findings: Findings) -> str:
    """The whole page."""
    title = f"{findings.data.name}: {_name(findings)}"
    style = Markup(files("training.report").joinpath("page.css").read_text(encoding="utf-8"))
    head = element(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        # Nothing is loaded and nothing runs, whatever a title says.
        Markup(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        ),
        element("title", title),
        element("style", style),
    )
    main = element(
        "main",
        _header(findings),
        _verdict(findings),
        metrics(findings),
        scores(findings),
        curves(findings),
        users(findings),
        _gate(findings),
        _data(findings),
        _configuration(findings),
        element("footer", "Written by Tandem at the end of the run; nothing on this page is loaded from elsewhere."),
    )
    return f'<!doctype html>\n<html lang="en">{head}{element("body", main)}</html>\n'


def _name(findings: Findings) -> str:
    if findings.generation:
        return findings.generation
    return "refused" if findings.refused else "evaluated"


def _header(findings: Findings) -> Markup:
    data = findings.data
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(findings.started))
    return element(
        "header",
        element("h1", f"Training run on {data.name}"),
        element("p", join(element("span", _name(findings), class_="mono"), f" · {when}"), class_="byline"),
        _headline(findings),
    )


def _headline(findings: Findings) -> Markup:
    figures: list[tuple[str, str, str]] = []
    if evaluation := findings.evaluation:
        row, best = evaluation.served, evaluation.best_baseline
        for metric in METRICS:
            ours, theirs = row.get(metric), evaluation.rows[best].get(metric)
            if ours is not None:
                told = (
                    f"{best} {theirs:.4f}" + (f", {ours / theirs - 1:+.0%}" if theirs else "")
                    if theirs is not None
                    else ""
                )
                figures.append((f"{metric}{evaluation.of_targets}, what is served", f"{ours:.4f}", told))
    data = findings.data
    figures.append(("interactions", f"{data.rows:,}", f"{data.users:,} users, {data.items:,} items"))
    if findings.checks:
        lost = sum(check.verdict == "failed" for check in findings.checks)
        told = f"of {sum(check.verdict != 'not judged' for check in findings.checks)} checks"
        figures.append(("the gate", f"{lost} failed" if lost else "passed", told))
    cells = (element("div", element("dt", a), element("dd", b, element("small", c))) for a, b, c in figures)
    return element("dl", *cells, class_="headline")


def _verdict(findings: Findings) -> Markup | None:
    lines = [check.sentence for check in findings.checks if check.verdict == "failed"]
    if not lines:
        return None
    told = "The gate refused this run; nothing was published." if findings.refused else "Forced past the gate."
    items = element("ul", *(element("li", line) for line in lines))
    return element("div", element("p", element("b", told)), items, class_="refused" if findings.refused else "forced")


def _gate(findings: Findings) -> Markup | None:
    if not findings.checks:
        return None
    rows = [
        element(
            "tr",
            element("td", MARKS[check.verdict], class_=f"verdict {check.verdict.replace(' ', '-')}"),
            element("td", check.sentence, class_="long"),
        )
        for check in findings.checks
    ]
    against = (
        f"what is live, {findings.live.id}"
        if findings.live
        else "the baselines alone: nothing was live to compare with"
    )
    caption = element("caption", join(element("b", "The gate's checks"), f", against {against}."))
    return join(element("h2", "The gate"), element("div", element("table", caption, *rows), class_="wide"))


MARKS = {"passed": "✓ passed", "failed": "✕ failed", "not judged": "not judged"}


def _data(findings: Findings) -> Markup:
    data = findings.data
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(moment)) for moment in findings.window)
    rows = [
        ("interactions", f"{data.rows:,}"),
        ("users", f"{data.users:,}"),
        ("items", f"{data.items:,}, of which {data.described:,} in the items table"),
        ("window", f"{first} to {last}, {(findings.window[1] - findings.window[0]) / 86_400:,.0f} days"),
        *((f"events of type {name}", f"{share:.1%}") for name, share in list(data.types.items())[:20]),
        *((f"items with {column}", f"{share:.1%}") for column, share in data.filled.items()),
        *(
            (f"set aside from {table}", f"{count:,} row{'s' * (count != 1)}: {reason}")
            for table, reasons in findings.quarantined.items()
            for reason, count in reasons.items()
        ),
        *(
            (f"values of {table} left empty", f"{count:,}: {reason}")
            for table, reasons in findings.bad_values.items()
            for reason, count in reasons.items()
        ),
        *([("duplicate rows dropped", f"{data.duplicates:,}")] if data.duplicates else []),
    ]
    if not any(findings.quarantined.values()):
        rows.append(("set aside", "no rows"))
    body = (element("tr", element("th", name, scope="row"), element("td", told, class_="long")) for name, told in rows)
    return join(element("h2", "The data"), element("div", element("table", *body), class_="wide"))


def _configuration(findings: Findings) -> Markup:
    told = json.dumps(asdict(findings.config), indent=2, default=str)
    return element("details", element("summary", "Configuration of the run"), element("pre", told))
