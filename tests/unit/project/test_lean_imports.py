"""Processes do not import libraries that they do not use: a start is mostly imports."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_a_gateway_that_calls_its_stages_imports_no_torch():
    """So do the parent of the workers and the checks of a generation, which import the gateway and run no model."""
    code = "import sys, service.gateway, service.serve; print(sorted({'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout
