"""Requests that schemathesis generates from the served OpenAPI document, valid and wrong ones."""

import subprocess
import sys

SEED, EXAMPLES = 5, 8


def test_the_deployment_conforms_to_its_document(deployment, tmp_path):
    """No status, type or body that is not in the document, no wrong request accepted, no 5xx."""
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
