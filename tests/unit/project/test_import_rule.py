"""The walls of the house stand, and fall over loudly when somebody leans on them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINT = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def house(tmp_path):
    for name in ("recsys", "service", "training", "flows", "loadtests", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    client = ROOT / "clients" / "python" / "tandem_client"
    shutil.copytree(client, tmp_path / client.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(house):
    return subprocess.run([LINT, "--no-cache"], cwd=house, capture_output=True, text=True, check=False)


def test_the_import_rule_holds(house):
    """As it stands."""
    result = lint(house)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("service/recommend/pipeline.py", "import training.towers.loss"),
        ("recsys/model/towers.py", "import recsys.store"),
        ("recsys/store/redis/user_store.py", "import recsys.model.ranker"),
        ("recsys/types.py", "import service"),
        ("flows/train.py", "import service"),
        ("recsys/generation/item_tables.py", "import bentoml"),
        ("training/towers/fit_towers.py", "import prefect"),
        ("tandem_client/calls.py", "import service"),
        ("tests/contracts/stores.py", "import loadtests.bench.knee"),
        ("loadtests/tally.py", "import loadtests.slo"),
        ("training/tables/item_tables.py", "import recsys.reference.plain_features"),
    ],
)
def test_the_import_rule_fails_when_broken(house, module, line):
    """One line in the wrong room is enough."""
    path = house / module
    first = "from __future__ import annotations\n"
    path.write_text(path.read_text().replace(first, f"{first}{line}\n", 1))
    assert line in path.read_text()
    result = lint(house)
    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout
