"""What a process does not run it does not import: a start is mostly imports."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_a_gateway_that_calls_its_stages_imports_no_torch():
    """Nor do the parent of all workers and the checks of a generation, which import the gateway and run no model."""
    asked = "import sys, service.gateway, service.serve; print(sorted({'torch'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "torch" not in told.stdout
