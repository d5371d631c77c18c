"""Requests made up from the served OpenAPI document, right ones and wrong ones: the deployment keeps to its word."""

import subprocess
import sys

SEED, EXAMPLES = 5, 20


def test_what_is_served_is_what_is_documented(deployment, tmp_path):
    """No status, type or body that the document does not have, nothing wrong that is taken, no 5xx."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{deployment.url}/openapi.json"),
            # All but one: which columns a context or a filter may name is the live generation's to say, no schema's.
            *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
            *("--warnings", "off"),  # it warns that random items are mostly unknown: 404
            *("--max-examples", str(EXAMPLES), "--seed", str(SEED), "--generation-database", "none", "--no-color"),
        ],
        cwd=tmp_path,  # it leaves a cache where it runs
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
