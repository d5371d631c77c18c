"""The page's figures: metrics with their errors, the spread of scores, learning curves, and ten users."""

from __future__ import annotations

from collections.abc import Mapping

from training.evaluation import BASELINES, METRICS, OF_TYPE, OVERALL, SERVED, Evaluation, Row, prefix_of
from training.glimpse import Slate
from training.report.charts import Dot, dots, histogram, learning_curve
from training.report.findings import Findings
from training.report.markup import Markup, element, join

SEGMENTS = {"": "all queries", "warm_": "warm users", "cold_": "cold users", "new_": "new items"}
FURTHER = ("recall@20", "recall@100", "recall@200", "ndcg@20", "coverage@10")


def metrics(findings: Findings) -> Markup | None:
    """Dot-and-whisker charts of both metrics by segment, and the table behind them."""
    if (evaluation := findings.evaluation) is None:
        return None
    rows = evaluation.rows
    segments = _segments(evaluation)
    figures = [_figure(rows, metric, segments) for metric in METRICS]
    told = (
        f"{evaluation.queries:,} queries of {evaluation.users:,} users, protocol {evaluation.protocol}: every one of "
        f"{evaluation.items:,} items ranked, nothing sampled, seen items out, ties against the model."
    )
    notes = [element("p", f"Note: {warning}", class_="soft note") for warning in evaluation.warnings]
    return join(
        element("h2", "How good it is"),
        element("p", told),
        *figures,
        element("div", _table(rows, segments), class_="wide"),
        element("div", _further(rows), class_="wide") if any(name in rows[SERVED] for name in FURTHER) else None,
        *notes,
    )


def _segments(evaluation: Evaluation) -> dict[str, str]:
    """The segments that have queries: the prefix of their figures, and what they are called."""
    found = {prefix: name for prefix, name in SEGMENTS.items() if evaluation.served.get(f"{prefix}queries")}
    found |= {"": SEGMENTS[""] + evaluation.of_targets}
    for segment in evaluation.by_type:
        found[prefix_of(segment)] = "all event types" if segment == OVERALL else segment.removeprefix(OF_TYPE)
    return found


def _figure(rows: dict[str, Row], metric: str, segments: Mapping[str, str]) -> Markup:
    keys = [prefix + metric for prefix in segments]
    most = max((row.get(key) or 0.0) for row in rows.values() for key in keys)
    panels = []
    for (prefix, name), key in zip(segments.items(), keys, strict=True):
        figures = [
            Dot(model, value, row.get(f"{prefix}se_{metric}") or 0.0, kind(model))
            for model, row in rows.items()
            if (value := row.get(key)) is not None
        ]
        queries = rows[SERVED].get(f"{prefix}queries") or 0
        head = element("h3", name, element("span", f" · {queries:,.0f} queries", class_="soft"))
        panels.append(element("div", head, dots(figures, f"{metric}, {name}", most), class_="panel"))
    caption = element(
        "figcaption",
        element("b", metric.replace("recall", "Recall").replace("ndcg", "NDCG")),
        " of each model, bars two standard errors to each side, clustered by user: ",
        *(element("span", element("span", class_=f"key {name}"), told, class_="legend") for name, told in KEYS.items()),
    )
    return element("figure", caption, element("div", *panels, class_="grid"))


KEYS = {"served": "what is served, ", "stage": "its stages alone, ", "baseline": "baselines."}


def kind(model: str) -> str:
    """How a model's mark is drawn."""
    return "served" if model == SERVED else "baseline" if model in BASELINES else "stage"


def _table(rows: dict[str, Row], segments: Mapping[str, str]) -> Markup:
    heads = [
        element("th", element("small", called), metric, class_="number")
        for called in segments.values()
        for metric in METRICS
    ]
    caption = element("caption", element("b", "Metrics"), " ± one standard error, clustered by user.")
    cells = {
        name: [_cell(row, prefix, metric) for prefix in segments for metric in METRICS] for name, row in rows.items()
    }
    return _rows(caption, heads, cells)


def _further(rows: dict[str, Row]) -> Markup:
    shown = [name for name in FURTHER if name in rows[SERVED]]
    caption = element(
        "caption",
        element("b", "Further down the list"),
        ", all queries; coverage is the share of the catalogue that is on somebody's first ten.",
    )
    cells = {name: [_cell(row, "", metric) for metric in shown] for name, row in rows.items()}
    return _rows(caption, [element("th", name, class_="number") for name in shown], cells)


def _rows(caption: Markup, heads: list[Markup], cells: dict[str, list[Markup]]) -> Markup:
    body = [
        element("tr", element("th", name, scope="row"), *row, class_="served" if name == SERVED else None)
        for name, row in cells.items()
    ]
    return element(
        "table", caption, element("thead", element("tr", element("th", "model"), *heads)), element("tbody", *body)
    )


def _cell(row: Row, prefix: str, metric: str) -> Markup:
    value, error = row.get(prefix + metric), row.get(f"{prefix}se_{metric}")
    if value is None:
        return element("td", "", class_="number")
    told = element("small", f" ±{error:.4f}".replace("0.", ".", 1)) if error is not None else None
    return element("td", f"{value:.4f}".replace("0.", ".", 1), told, class_="number")


def scores(findings: Findings) -> Markup | None:
    """The histogram of how sure the ranker is, the live one's over it."""
    if findings.evaluation is None or (glimpse := findings.evaluation.glimpse) is None:
        return None
    live = findings.live.scores if findings.live else None
    told = "Share of queries by the part of the softmax over its candidates that the first ten hold"
    told += (
        f" ({glimpse.scores.queries:,} queries; the line is what is live)."
        if live
        else f" ({glimpse.scores.queries:,} queries)."
    )
    chart = histogram(glimpse.scores.histogram, live.histogram if live else None, told)
    return join(
        element("h2", "How sure the ranker is"),
        element("figure", element("figcaption", told), element("div", chart, class_="grid one")),
    )


def curves(findings: Findings) -> Markup | None:
    """Loss of every step that trained."""
    panels = [
        element("div", element("h3", step), learning_curve(curve, step), class_="panel")
        for step, curve in findings.curves.items()
        if len(curve) > 1
    ]
    if not panels:
        return None
    caption = element("figcaption", element("b", "Loss"), " of the steps, smoothed; a step's own scale.")
    return join(element("h2", "Learning curves"), element("figure", caption, element("div", *panels, class_="grid")))


def users(findings: Findings) -> Markup | None:
    """Users drawn from the test: what they had done, what they would have been shown, and what they took next."""
    if findings.evaluation is None or not (glimpse := findings.evaluation.glimpse) or not glimpse.slates:
        return None
    told = f"{len(glimpse.slates)} users drawn at random from the test; the model had not seen what they did next."
    return join(
        element("h2", "What users would have seen"),
        element("p", told),
        element("div", *(_user(slate) for slate in glimpse.slates), class_="grid"),
    )


def _user(slate: Slate) -> Markup:
    before = slate.events - len(slate.history)
    past = (
        element("ol", *(element("li", title) for title in slate.history), start=before + 1) if slate.history else None
    )
    shown = element(
        "ol",
        *(
            element("li", element("span", title, class_="hit") if place in slate.hits else title)
            for place, title in enumerate(slate.shown)
        ),
    )
    return element(
        "div",
        element("h3", f"User {slate.user}"),
        element(
            "div",
            element("div", element("h4", "had, newest last" if past else "had nothing yet"), past),
            element("div", element("h4", "would be shown"), shown),
            class_="columns",
        ),
        _next(slate),
        class_="user",
    )


def _next(slate: Slate) -> Markup:
    """What the user took next, and where it stood."""
    titles = ", ".join(slate.targets[:4]) + (f" and {len(slate.targets) - 4} more" if len(slate.targets) > 4 else "")
    places = ", ".join(str(place + 1) for place in slate.hits)
    where = (
        element("span", f"at place {places}", class_="passed")
        if places
        else element("span", "not on the slate", class_="soft")
    )
    return element("p", "Took next: ", element("b", titles), ", ", where, class_="next")
