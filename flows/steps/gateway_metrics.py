"""Reads what gateways counted for the arms of experiments, from their /metrics."""

from __future__ import annotations

import socket

import httpx
from prometheus_client.parser import text_string_to_metric_families

from recsys.errors import SettingsError
from training.experiments.guardrails import ArmCounts

SECONDS = "tandem_arm_seconds"
SLATES = "tandem_arm_slates"
"""The names of the metrics in service/telemetry/metrics.py; a counter's has no _total for the parser."""

REPLY_SECONDS = 5.0


def addresses(url: str) -> list[str]:
    """The URL of each host that a name stands for, such as the pods of a headless service; the URL itself for one.

    A counter is of one gateway, so that a name of several must not be read as one. With TLS a name stays as it is.
    """
    try:
        parts = httpx.URL(url)
        found = socket.getaddrinfo(parts.host, None, socket.AF_INET, socket.SOCK_STREAM)
    except (httpx.InvalidURL, OSError, UnicodeError):
        return [url]
    hosts = sorted({str(each[4][0]) for each in found})
    return [str(parts.copy_with(host=host)) for host in hosts] if parts.scheme == "http" and len(hosts) > 1 else [url]


def read_counts(url: str, key: str = "") -> dict[str, ArmCounts]:
    """The counters of each arm at a gateway, by `experiment/arm`; SettingsError if its /metrics can't be read."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{url.rstrip('/')}/metrics", headers=headers, timeout=REPLY_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SettingsError(f"No metrics came from {url}: {str(error).rstrip('.') or type(error).__name__}.") from error
    if answer.status_code != httpx.codes.OK:
        raise SettingsError(f"{url}/metrics answered {answer.status_code}; --key-file names a key of the scope admin.")
    try:
        return parse_counts(answer.text)
    except (ValueError, KeyError) as error:
        raise SettingsError(f"{url}/metrics has no metrics in Prometheus's text; name a gateway's URL.") from error


def parse_counts(text: str) -> dict[str, ArmCounts]:
    """The counters of each arm, by `experiment/arm`, in Prometheus's text."""
    outcomes: dict[str, dict[str, float]] = {}
    within: dict[str, dict[float, float]] = {}
    for family in text_string_to_metric_families(text):
        if family.name not in (SECONDS, SLATES):
            continue
        for sample in family.samples:
            arm = f"{sample.labels['experiment']}/{sample.labels['arm']}"
            if sample.name == f"{SLATES}_total":
                outcomes.setdefault(arm, {})[sample.labels["outcome"]] = sample.value
            elif sample.name == f"{SECONDS}_bucket":
                within.setdefault(arm, {})[float(sample.labels["le"])] = sample.value
    return {arm: ArmCounts(outcomes.get(arm, {}), within.get(arm, {})) for arm in {**outcomes, **within}}
