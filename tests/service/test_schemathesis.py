"""Requests made up from the served OpenAPI document, right ones and wrong ones: the deployment keeps to its word."""

import subprocess
import sys

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method"
)


def test_what_is_served_is_what_is_documented(deployment):
    """No status, type or body that the document does not have, nothing wrong that is taken, no 5xx."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{deployment.url}/openapi.json"),
            *("--checks", CHECKS, "--max-examples", "40", "--seed", "5", "--workers", "1", "--no-color"),
            *("--generation-database", "none", "--phases", "examples,coverage,fuzzing"),
        ],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
