"""The guardrails of an experiment: which counters of an arm break which limit, and how they are read from /metrics."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from flows.steps.gateway_metrics import parse_counts
from recsys.experiments.definition import Guardrails
from training.experiments.guardrails import LOOKS, ArmCounts, Look, breach, counts_since, kept

FAST = {0.1: 1_000.0, 0.2: 1_000.0, float("inf"): 1_000.0}
SLOW = {0.1: 900.0, 0.2: 960.0, float("inf"): 1_000.0}
LIMITS = Guardrails(p99_ms=150, error_share=0.01, degraded_share=0.05, empty_share=0.05)


@pytest.mark.parametrize(
    ("outcomes", "within", "sentence"),
    [
        ({"ok": 1_000}, FAST, None),
        ({"ok": 1_000}, SLOW, "4.0% of its 1,000 slates took longer than 150 ms; p99_ms allows 1.0%."),
        ({"ok": 970, "error": 30}, FAST, "3.0% of its 1,000 slates failed"),
        ({"ok": 970, "fell_back": 30}, FAST, "could not be made by the arm; error_share allows 1.0%."),
        ({"ok": 900, "degraded": 100}, FAST, "10.0% of its 1,000 slates lack a stage; degraded_share allows 5.0%."),
        ({"ok": 900, "empty": 100}, FAST, "10.0% of its 1,000 slates are empty; empty_share allows 5.0%."),
        ({"ok": 985, "error": 15}, FAST, None),
        ({"ok": 10, "error": 10}, {}, None),
    ],
    ids=["sound", "slow", "failing", "away", "degraded", "empty", "by chance", "too few"],
)
def test_a_broken_limit_is_a_sentence(outcomes, within, sentence):
    """A count that chance explains breaks none, nor do few slates."""
    found = breach(LIMITS, ArmCounts(outcomes, within))
    assert found is None if sentence is None else sentence in found


def test_counters_are_read_as_gateways_write_them():
    """From Prometheus's text; of two gateways together; since an earlier look; and whole after a restart."""
    registry = CollectorRegistry()
    slates = Counter("tandem_arm_slates", "Slates", ["experiment", "arm", "outcome"], registry=registry)
    seconds = Histogram("tandem_arm_seconds", "Times", ["experiment", "arm"], buckets=(0.1, 0.2), registry=registry)
    for time in (0.05, 0.15, 0.3):
        slates.labels("ease", "new", "ok").inc()
        seconds.labels("ease", "new").observe(time)
    [(arm, earlier)] = parse_counts(generate_latest(registry).decode()).items()
    assert arm == "ease/new"
    assert (earlier.slates, earlier.slower(0.1), earlier.slower(0.12), earlier.slower(5)) == (3, 2, 1, 0)
    slates.labels("ease", "new", "error").inc()
    now = parse_counts(generate_latest(registry).decode())[arm]
    assert now.since(earlier).outcomes == {"ok": 0, "error": 1}
    assert now.plus(now).slates == 8
    assert ArmCounts({"ok": 1}, {}).since(earlier).slates == 1


def test_a_look_counts_from_the_last_change_of_the_ramp():
    """Earlier slates do not count, nor those before the window."""
    arm = "ease/new"
    looks = [Look(float(at), {"a": {arm: ArmCounts({"ok": at}, {})}}) for at in (100, 200, 300)]
    now = Look(400.0, {"a": {arm: ArmCounts({"ok": 400}, {})}})
    assert counts_since(looks, now, 150.0)[arm].slates == 200
    assert counts_since(looks, now, 350.0) == {}
    late = Look(850.0, now.counts)
    assert counts_since(looks, late, 0.0)[arm].slates == 100
    stored = LOOKS.validate_json(LOOKS.dump_json(kept([*looks, now], late)))
    assert [look.at for look in stored] == [100.0, 200.0, 300.0, 400.0, 850.0]
    assert [look.at for look in kept(stored, Look(1_150.0, {}))] == [300.0, 400.0, 850.0, 1_150.0]


def test_a_gateway_counts_from_the_first_look_that_read_it():
    """A look may lack a gateway that counts for days: its earlier errors are no reason to halt an arm now."""
    arm, days = "ease/new", ArmCounts({"error": 9_000}, {})
    looks = [Look(100.0, {"a": {}}), Look(160.0, {"a": {}, "b": {arm: days}})]
    now = Look(220.0, {"a": {arm: ArmCounts({"ok": 7}, {})}, "b": {arm: days.plus(ArmCounts({"ok": 5}, {}))}})
    assert counts_since(looks, now, 0.0)[arm].outcomes == {"ok": 12, "error": 0}
    assert counts_since(looks[:1], now, 0.0)[arm].outcomes == {"ok": 7}
