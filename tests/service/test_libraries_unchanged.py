"""A deployment changes nothing in the libraries below it but what `service.bentoml_patches` lists."""

import json
import os
import subprocess
import sys

from service.bentoml_patches import PATCHED
from tests.fakes.issued_keys import IssuedKeys
from tests.servers.deployment import ROOT, free_port


def test_no_attribute_of_a_library_changes_but_what_is_listed(published, embedded_url, tmp_path):
    """Each class and function is the same before the deployment starts and after requests at both doors."""
    keys = IssuedKeys(tmp_path / "keys.toml")
    ports = {name: str(free_port()) for name in ("PORT", "GRPC_PORT", "TANDEM_ADMIN_PORT")}
    own = {"TANDEM_HOME": str(tmp_path), "TANDEM_KEYS": str(keys.path), "KEY": keys.add("reader", "read")}
    environment = os.environ | ports | own | {"REDIS_URL": embedded_url, "TANDEM_TOPOLOGY": "inline"}
    command = [sys.executable, "-m", "tests.servers.changed_libraries"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    changed = json.loads(done.stdout.splitlines()[-1])
    assert changed == sorted(PATCHED)
