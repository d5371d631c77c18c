"""Panels and PromQL expressions of which the Grafana dashboards in this package are made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import NamedTuple

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

SOURCE = common.DataSourceRef(type_val="prometheus", uid="tandem")
"""deploy/grafana/provisioning/datasources/prometheus.yaml has the same uid."""

RATE = "$__rate_interval"
"""Grafana puts four scrape intervals in its place, or the step of the graph if that is longer."""

Panel = stat.Panel | timeseries.Panel
Rows = Mapping[str, Sequence[Panel]]
"""The panels of a dashboard by the title of their row."""


class Query(NamedTuple):
    """A PromQL expression, and the legend of its series, where {{label}} stands for the value of a label."""

    expr: str
    legend: str


def rate(metric: str, by: str = "", labels: str = "") -> str:
    """Increase a second of a counter, summed by these labels."""
    return f"sum {f'by ({by}) ' if by else ''}(rate({metric}{{{labels}}}[{RATE}]))"


def or_zero(expr: str) -> str:
    """0 where the expression has no series: a counter has none before its first increase."""
    return f"({expr}) or vector(0)"


def quantile(share: float, metric: str, by: str = "", labels: str = "") -> str:
    """A quantile of a histogram, by these labels."""
    keys = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', keys, labels)})"


def mean(metric: str, by: str = "") -> str:
    """Mean of a histogram, by these labels."""
    return f"{rate(f'{metric}_sum', by)} / {rate(f'{metric}_count', by)}"


def lines(title: str, unit: str, *queries: Query, about: str = "", limit: float | None = None) -> timeseries.Panel:
    """A graph over time. unit: of Grafana. about: shown at the title. limit: drawn as a dashed line."""
    panel = timeseries.Panel().title(title).description(about).unit(unit).datasource(SOURCE).span(8).height(8)
    panel.fill_opacity(8).min(0)
    panel.legend(options.VizLegendOptions().show_legend(True).display_mode(common.LegendDisplayMode.LIST))
    panel.tooltip(options.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    for name, query in zip(ascii_uppercase, queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(name).range()
        panel.with_target(target.datasource(SOURCE))
    if limit is not None:
        dashed = options.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_red_above(limit)).thresholds_style(dashed)
    return panel


def number(
    title: str, unit: str, expr: str, about: str = "", red_above: float | None = None, red_below: float | None = None
) -> stat.Panel:
    """The newest value of one expression. unit: of Grafana. about: shown at the title."""
    panel = stat.Panel().title(title).description(about).unit(unit).datasource(SOURCE).span(4).height(4)
    panel.reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.graph_mode(common.BigValueGraphMode.NONE)
    panel.with_target(prometheus.Dataquery().expr(expr).ref_id("A").instant().datasource(SOURCE))
    if red_above is not None:
        panel.thresholds(_red_above(red_above))
    if red_below is not None:
        panel.thresholds(_steps("red", red_below, "green"))
    return panel


def dashboard_json(name: str, title: str, rows: Rows) -> str:
    """The file of a dashboard; its address ends in tandem-NAME."""
    built = dashboard.Dashboard(f"Tandem: {title}").uid(f"tandem-{name}").tags(["tandem"])
    built.time("now-6h", "now").refresh("30s").timezone("browser")
    tagged = dashboard.DashboardLink("Tandem").type(model.DashboardLinkType.DASHBOARDS).tags(["tandem"])
    built.link(tagged.keep_time(True))
    for row, panels in rows.items():
        built.with_row(dashboard.Row(row))
        for panel in panels:
            built.with_panel(panel)
    return json.dumps(built.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _red_above(limit: float) -> dashboard.ThresholdsConfig:
    return _steps("green", limit, "red")


def _steps(below: str, limit: float, above: str) -> dashboard.ThresholdsConfig:
    steps = [model.Threshold(value=None, color=below), model.Threshold(value=limit, color=above)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)
