"""Each contract of import-linter reports an import that breaks it; `make lint` checks that no import does."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LINT = Path(sys.executable).with_name("lint-imports")

BREAKS = {
    "service/recommend/pipeline.py": "import training.fit.gradients",
    "flows/train.py": "import service",
    "recsys/store/redis/user_store.py": "import recsys.model.ranker",
    "recsys/model/towers.py": "import recsys.store",
    "recsys/generation/item_tables.py": "import bentoml",
    "tandem_client/calls.py": "import service",
    "training/fit/fit_towers.py": "import prefect",
    "service/verbs/recommender.py": "import service.http.app",
    "tests/contracts/stores.py": "import loadtests.bench.knee",
    "loadtests/tally.py": "import loadtests.slo",
    "training/fit/item_tables.py": "import recsys.reference",
    "training/read/cells.py": "import training.judge.ranking",
}
"""A line for each contract, in a module where the contract forbids it."""


def test_every_contract_reports_an_import_that_breaks_it(tmp_path):
    """One line in a wrong module breaks a contract."""
    for name in ("recsys", "service", "training", "flows", "loadtests", "tests", "clients/python/tandem_client"):
        target = tmp_path / Path(name).name
        shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    first = "from __future__ import annotations\n"
    for module, line in BREAKS.items():
        text = (tmp_path / module).read_text()
        assert first in text, module
        (tmp_path / module).write_text(text.replace(first, f"{first}{line}\n", 1))
    done = subprocess.run([LINT, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert f"Contracts: 0 kept, {len(contracts)} broken." in done.stdout, done.stdout
