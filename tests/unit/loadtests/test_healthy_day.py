"""A healthy day fires no alert: 24 hours of metrics in promtool, made of a recording of a real deployment.

`tests.sample_data.healthy_metrics` recorded what each series gained a minute under requests. The day replays these
gains, with a fifth of the requests at night. The ages and the flows are not recorded: a generation and its lists go
live each night, trending items are 150 s old, and each flow completes on its schedule.
"""

import gzip
import json
import re

import pytest

from recsys.flow_names import FLOWS
from service.telemetry.slate_metrics import AGE_BUCKETS
from tests.flows.runs.flow_alert_check import exported
from tests.sample_data.healthy_metrics import FILE
from tests.sample_data.healthy_runs import NOW, PERIODS, healthy
from tests.servers.prometheus import RULE_FILES, promtool

HOURS, MINUTE, HOUR = 24, 60, 3_600
LIVE = 3
"""The hour after midnight at which a generation goes live, half an hour after it was made."""

USED = {*re.findall(r"tandem_\w+", "".join(path.read_text() for path in RULE_FILES))}
COUNTERS = re.compile(r"\w+_(total|count|bucket|sum)\{")


def traffic(hour):
    """Requests of an hour, as a share of those of the busiest hour."""
    return 1 - 0.8 * abs(hour - 15) / 15


def nightly(hour):
    """Seconds since a generation was made that goes live each night."""
    return (hour - LIVE) % HOURS * HOUR + HOUR


AGES = {"model": nightly, "list": nightly, "trending": lambda hour: 150.0}


def label(series, name):
    return re.search(rf'{name}="([^"]*)"', series)[1]


def gains(series, recorded, ages):
    """What a series gains in a minute of each hour. Of freshness a bucket gains what the count does, or nothing."""
    per_minute = (recorded[series][1] - recorded[series][0]) * MINUTE
    in_bucket = [1] * HOURS
    if series.startswith("tandem_freshness_seconds_bucket") and (age := ages.get(label(series, "part"))):
        whole = re.sub(r',?le="[^"]*"', "", series.replace("_bucket", "_count")).replace("{,", "{")
        per_minute = (recorded[whole][1] - recorded[whole][0]) * MINUTE
        in_bucket = [float(label(series, "le")) >= age(hour) for hour in range(HOURS)]
    return [per_minute * traffic(hour) * in_bucket[hour] for hour in range(HOURS)]


def counter(gained):
    """The values of a counter in each minute of the day."""
    parts, value = [], 0.0
    for gain in gained:
        parts.append(f"{value:f}+{gain:f}x59")
        value += 60 * gain
    return " ".join(parts)


def of_flows():
    """The series of flows. Times of successes follow the schedule: at half of each period, and at night."""
    series = exported({flow: healthy(flow) for flow in FLOWS}, NOW)
    for name, values in series.items():
        series[name] = f"{values.split('x')[0]}x{HOURS * 60}"
        if "timestamp" in name:
            period = PERIODS[label(name, "flow")]
            offset = LIVE * HOUR if period > HOUR else period / 2
            ends = [(MINUTE * minute - offset) // period * period + offset for minute in range(HOURS * 60)]
            series[name] = " ".join(f"{end:f}" for end in ends)
    return series


def day(ages):
    """All series that a rule uses. ages: by part, for each hour."""
    found = json.loads(gzip.decompress(FILE.read_bytes()))
    recorded = {
        name: (first, first + (last - first) / found["seconds"]) for name, (first, last) in found["series"].items()
    }
    series = {name: value for name, value in of_flows().items() if name.partition("{")[0] in USED}
    for name in recorded:
        if name.partition("{")[0] in USED:
            is_counter = COUNTERS.match(name)
            value = found["series"][name][1]
            series[name] = counter(gains(name, recorded, ages)) if is_counter else f"{value}x{HOURS * 60}"
    return series


@pytest.mark.parametrize(
    ("ages", "fired"),
    [(AGES, []), (AGES | {"list": lambda hour: 2 * AGE_BUCKETS[-1]}, ["TandemServedListOld"])],
    ids=["healthy", "old lists"],
)
def test_a_healthy_day_fires_no_alert(ages, fired, tmp_path):
    """In no minute. A day of old lists shows that the check sees an alert."""
    expr = 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[24h]))'
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in fired]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in day(ages).items()],
        "promql_expr_test": [{"expr": expr, "eval_time": "1438m", "exp_samples": samples}],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": [*map(str, RULE_FILES)], "evaluation_interval": "2m", "tests": [test]}))
    promtool("test", "rules", file)
