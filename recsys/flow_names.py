"""The names of the flows (jobs such as `train`) that leave records and may have a promise in slo.toml."""

LIST_FLOWS = ("batch", "item-lists", "refresh")
"""The flows that make lists. Without a success the lists grow old while answers stay fast and healthy."""

FLOWS = ("train", "batch", "item-lists", "refresh", "drain", "drift", "experiment-reports", "monitor", "canary")
"""The flows that leave records: those with a schedule. `monitor` and `canary` run each minute and leave one too: only
their last success shows that the guardrails of experiments are looked at. The list bounds the labels of the metrics.
"""
