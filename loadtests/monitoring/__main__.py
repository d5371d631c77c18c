"""Writes deploy/prometheus/burn_rates.yaml; run after a change of slo.toml."""

from __future__ import annotations

from loadtests.monitoring import burn_rates
from loadtests.slo import Promises

if __name__ == "__main__":
    burn_rates.FILE.write_text(burn_rates.burn_rates(Promises.read().recommend), encoding="utf-8")
