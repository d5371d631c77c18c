"""Settings are told with where they come from, and without what is secret; a slip of the pen is pointed out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import configuration
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def config(*options, **variables):
    """Run `python -m service config` with these variables and no other setting."""
    own = {line.variable for line in configuration.defaults()}
    clean = {name: value for name, value in os.environ.items() if name not in own}
    return subprocess.run(
        [sys.executable, "-m", "service", "config", *options],
        cwd=ROOT,
        env=clean | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_setting_says_where_it_comes_from_and_no_password_is_told():
    """The environment, slo.toml or the default; a Redis URL is told without its user's password."""
    done = config("--json", REDIS_URL="redis://me:hunter2@store:6380/0", PORT="3100")
    told = {line["variable"]: line for line in json.loads(done.stdout)}
    assert (told["PORT"]["value"], told["PORT"]["source"]) == ("3100", "environment")
    assert told["TANDEM_DEADLINE_MS"]["source"] == "slo.toml"
    assert told["TANDEM_TOPOLOGY"]["source"] == "default"
    assert told["REDIS_URL"]["value"] == "redis://store:6380"
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("TANDEM_TOPOLOGY", "sideways"), ("TANDEM_MERGE_MS", "-1")]
)
def test_a_wrong_value_stops_with_a_sentence(name, value):
    """One line that names the variable as it is written, and no traceback."""
    done = config(**{name: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"tandem: {name}='{value}' is not a valid setting: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_variable_that_is_no_setting_is_pointed_out():
    """With the one that was meant, where one is near."""
    slips = list(configuration.unknown(["TANDEM_GATEWAY_WORKER", "TANDEM_XYZZY", "TANDEM_HOME", "PATH"]))
    assert slips == [
        "TANDEM_GATEWAY_WORKER is no setting; did you mean TANDEM_GATEWAY_WORKERS?",
        "TANDEM_XYZZY is no setting.",
    ]


def test_every_setting_is_described_and_the_page_is_of_today():
    """Whoever adds a setting says what it does, and makes docs/configuration.md anew."""
    assert all(info.description for info in Settings.model_fields.values())
    assert configuration.page(configuration.defaults()) == (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
