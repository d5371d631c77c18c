"""The burn-rate rules for /recommend have the budgets of slo.toml and are written to deploy/prometheus."""

from dataclasses import replace

from loadtests.monitoring.burn_rates import FILE, burn_rates, error_budget, latency_bound
from loadtests.slo import Promises


def test_the_file_of_burn_rates_is_up_to_date():
    """After a change of slo.toml, run `python -m loadtests.monitoring`."""
    assert FILE.read_text(encoding="utf-8") == burn_rates(Promises.read().recommend)


def test_budgets_are_those_of_the_promise():
    """The share of errors as promised; a p99 between two bounds of the histogram is judged at the next one."""
    promise = replace(Promises.read().recommend, error_share=0.02, p99_ms=80)
    assert (error_budget(promise), latency_bound(promise)) == (0.02, 0.1)
    rules = burn_rates(promise)
    assert "ratio_rate1h > 14.4 * 0.02 and tandem:recommend_errors:ratio_rate5m > 14.4 * 0.02" in rules
    assert 'le="0.1"' in rules


def test_the_promised_p99_is_a_bound_of_the_histogram():
    """So that the share of slow answers is exact for the committed slo.toml."""
    promise = Promises.read().recommend
    assert latency_bound(promise) * 1000 == promise.p99_ms
