"""The promise that a load test is judged against: of the surface if surfaces.toml states one, else of slo.toml."""

import pytest

from loadtests.slo import Slo
from loadtests.tally import Outcome, Tally

FILE = """
[home]
k = 20
deadline_ms = 150
rate = 5
p50_ms = 20
p99_ms = 90
error_share = 0.0
degraded_share = 0.03

[mail]
mode = "batch"

[feed]
list_age = "15min"
"""


@pytest.fixture
def surfaces(tmp_path, monkeypatch):
    """Write the file of surfaces."""
    path = tmp_path / "surfaces.toml"
    path.write_text(FILE)
    monkeypatch.setenv("TANDEM_SURFACES", str(path))
    return path


def test_a_surface_may_promise_an_age_of_its_own(surfaces):
    """2 % of the answers from lists older than a quarter of an hour break it; slo.toml has the other limits."""
    slo, common = Slo.read("feed"), Slo.read()
    assert slo.freshness == common.freshness | {"list": 900.0}
    assert (slo.p99_ms, slo.source) == (common.p99_ms, "surfaces.toml [feed]")
    tally = Tally()
    for number in range(100):
        tally.add(0.0, 10.0, Outcome.WHOLE, ages={"model": 86_400.0, "list": 1_000.0 if number < 2 else 890.0})
    for part in (tally, Tally.from_json(tally.to_json())):
        [broken] = [line for line in slo.judge(part).lines if not line.held]
        assert (broken.name, broken.measured) == ("share with list above 15min", pytest.approx(0.02))
        assert common.judge(part).held
