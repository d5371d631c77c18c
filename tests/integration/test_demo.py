"""`make demo` on the bundled sample, as a newcomer runs it."""

import os
import subprocess

from tests.deployment import ROOT, free_port


def test_the_demo_tells_its_story_and_ends(tmp_path):
    """Train, publish, serve, recommend, click, recommend; exit code 0 and nothing left running."""
    env = {k: v for k, v in os.environ.items() if k != "REDIS_URL"}
    env |= {"TANDEM_HOME": str(tmp_path), "PORT": str(free_port()), "ONCE": "1", "COLUMNS": "120"}
    result = subprocess.run(
        ["make", "demo"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=480, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for piece in ("two_stage", "Live: g", "recommend again: what changed", "an unknown user", "Toy Story 2", "curl"):
        assert piece in result.stdout
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
