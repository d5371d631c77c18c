"""`slo.toml`: what it may promise, and the sentence for each mistake."""

import sys

import pytest

import recsys.promises
from recsys.promises import SLO_FILE
from service.__main__ import main
from service.settings import environment, settings

TEXT = SLO_FILE.read_text(encoding="utf-8")
AGE = "slo.toml: freshness.model is a whole number of seconds above 0, of 30 days at most"
MISTAKES = {
    "text": ("model = 172_800", 'model = "2d"', f"{AGE}, not '2d'."),
    "part": (
        "model = 172_800",
        "modell = 1",
        "slo.toml: There is no entry freshness.modell. Did you mean freshness.model?",
    ),
    "flow": ("drain = 3_600", "drayn = 1", "slo.toml: There is no entry flows.drayn. Did you mean flows.drain?"),
    "period": ("drain = 3_600", "drain = 0", "slo.toml: flows.drain is a whole number of seconds above 0"),
    "order": ("p50_ms = 100", "p50_ms = 300", "slo.toml: recommend: p50_ms is 300, above p99_ms, which is 250."),
    "missing": ("p50_ms = 100", "", "slo.toml: recommend.p50_ms is missing; add a line such as p50_ms = 100."),
    "share": ("degraded_share = 0.01", "degraded_share = 2", "slo.toml: recommend.degraded_share is a share from 0"),
    "TOML": ("rate = 50", "rate = ", "slo.toml is not valid TOML: Invalid value (at line 6"),
}


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file in place of slo.toml, and settings that are read again."""
    path = tmp_path / "slo.toml"
    monkeypatch.setattr(recsys.promises, "SLO_FILE", path)
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    environment.cache_clear()
    yield path
    settings.cache_clear()
    environment.cache_clear()


@pytest.mark.parametrize(("old", "new", "sentence"), MISTAKES.values(), ids=[*MISTAKES])
def test_check_refuses_a_wrong_file(file, monkeypatch, capsys, old, new, sentence):
    """Also with a deadline of its own, so that no setting needs the file."""
    assert old in TEXT
    file.write_text(TEXT.replace(old, new, 1))
    monkeypatch.setenv("TANDEM_DEADLINE_MS", "300")
    monkeypatch.setattr(sys, "argv", ["service", "check"])
    assert main() == 1
    assert capsys.readouterr().err.startswith(f"tandem: {sentence}")
