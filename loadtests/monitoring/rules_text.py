"""The text of a file of Prometheus rules, from a Jinja template and its values."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, StrictUndefined

from recsys.alert_limits import LEAST_ALERTING
from recsys.surfaces import shown_duration


def rendered(template: Path, **values: object) -> str:
    """A template of rules with these values in << >>."""
    environment = Environment(
        variable_start_string="<<",  # Prometheus has its own {{ }}
        variable_end_string=">>",
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters |= {
        "seconds": lambda milliseconds: f"{milliseconds / 1000:g}",
        "failing": lambda share: max(share, LEAST_ALERTING),
        "duration": shown_duration,
        "percent": lambda share: f"{100 * share:g}%",
    }
    return environment.from_string(template.read_text(encoding="utf-8")).render(values)
