"""Freshness curves and a cost profile with planted figures, as JSON, for tests of the advisor."""

HOUR, DAY = 3_600.0, 86_400.0
AGES = [0, 60, 900, 3_600, 21_600, 86_400]
TURNS = [0, 0.01, 0.08, 0.2, 0.35, 0.4]
"""Shares of the metric that are lost at each age, where taste turns within hours."""

FLAT = [0, 0.001, -0.001, 0.002, 0, 0.003]
"""Where taste never turns."""

FRESH = 0.2
"""Recall@10 of an answer that is made at the request."""


def curve(what, losses, segment="all", se=0.004, judged=None):
    """The curve of a part. losses, se: shares of the fresh metric; se may differ by age."""
    errors = se if isinstance(se, list) else [se] * len(losses)

    def metric(fresh):
        return {
            "mean": [fresh - fresh * loss for loss in losses],
            "se": [0.005] * len(losses),
            "paired_loss": [fresh * loss for loss in losses],
            "paired_se": [fresh * error if loss else 0.0 for loss, error in zip(losses, errors, strict=True)],
        }

    judged = judged or [True] * len(AGES)
    return {
        "what": what,
        "segment": segment,
        "queries": 2_000,
        "ages_s": AGES,
        "judged": judged,
        "recall": metric(FRESH),
        "ndcg": metric(FRESH / 2),
    }


def measurement(served, ranked, se=0.004, judged=None, exact_times=True, data="planted"):
    """The curves of a dataset. served, ranked: losses of a stored list as it is, and ranked again."""
    lost = {"list": served, "list_ranked": ranked}
    return {
        "data": data,
        "users": 5_000,
        "items": 2_000,
        "queries": 2_000,
        "exact_times": exact_times,
        "curves": [curve(what, losses, se=se, judged=judged) for what, losses in lost.items()],
    }


def profile():
    """Costs of each mode at three rates: work of each second and work of each slate, in CPU ms."""
    work = {"batch": (20, 0.4, 8.0), "hybrid": (30, 1.2, 15.0), "realtime": (30, 2.0, 30.0)}
    points = [
        {"mode": mode, "rate": rate, "cpu_ms": fixed / rate + slate, "p99_ms": p99}
        for mode, (fixed, slate, p99) in work.items()
        for rate in (20.0, 100.0, 400.0)
    ]
    memory = {"users": 5_000, "items": 2_000, "parts_bytes": 2e7, "records_bytes": 1e7, "list_bytes": 2_400}
    return {
        "machine": "two planted cores",
        "source": "a test",
        "points": points,
        "list_cpu_ms": 1.6,
        "flow_cpu_ms": 5_000,
        "memory": memory,
    }
