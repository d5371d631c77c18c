"""What is installed is what stands in the checkout."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HOUSE = ("recsys", "service", "training", "flows")


def test_every_package_is_installed():
    """A folder of modules that pyproject.toml does not name is missing from a wheel, and whoever imports it fails."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    there = [init.parent.relative_to(ROOT) for name in HOUSE for init in (ROOT / name).rglob("__init__.py")]
    assert sorted(told) == sorted(".".join(folder.parts) for folder in there)
