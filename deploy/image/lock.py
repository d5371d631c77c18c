"""`make lock`: writes the image's lock files: every Python package in the version that the tests use, with file hashes.

Torch is locked by its version alone: PyTorch's index of CPU builds and PyPI have different files for one version, and
PyPI's files need packages of CUDA. The locks name no index, so an image can be built from a mirror.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = "3.11"
"""Python of the image and of the tests."""

PLATFORM = "x86_64-unknown-linux-gnu"
"""Platform whose requirements are resolved. The locks hold hashes of the files of all platforms."""

CUDA = re.compile(r"^(nvidia-(?!ml-py)|cuda-|triton)")
"""Packages that only a torch for CUDA requires. nvidia-ml-py is a requirement of BentoML."""

HEAD = "# Written by `make lock`.\n"


def main() -> int:
    """Write the three locks. Return 1 if uv finds no solution."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [each.split(";")[0].strip() for each in bento_packages(ROOT / "bentofile.yaml")]
    installed = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in distributions()}
    tested = [f"{name}=={version.partition('+')[0]}" for name, version in installed.items() if name != project["name"]]
    try:
        first = compiled(wanted, tested)
        names = [line.partition("==")[0] for line in first.splitlines() if re.match(r"^[a-z0-9]", line)]
        apart = ["torch", *filter(CUDA.match, names)]
        options = [option for name in apart for option in ("--no-emit-package", name)]
        text = compiled(wanted, tested, "--generate-hashes", *options)
        tools = compiled(["uv"], tested, "--generate-hashes")
    except subprocess.CalledProcessError as error:
        print(error.stderr, file=sys.stderr)
        return 1
    (HERE / "requirements.lock").write_text(HEAD + text, encoding="utf-8")
    (HERE / "tools.lock").write_text(HEAD + tools, encoding="utf-8")
    [torch] = re.findall(r"^torch==[\d.]+", first, re.MULTILINE)
    (HERE / "torch.lock").write_text(f"{HEAD}{torch}\n", encoding="utf-8")
    print(f"tandem: {text.count('==')} packages with hashes in deploy/image/requirements.lock, and {torch}")
    return 0


def bento_packages(bentofile: Path) -> list[str]:
    """The packages that bentofile.yaml requires."""
    import yaml

    return list(yaml.safe_load(bentofile.read_text(encoding="utf-8"))["python"]["packages"])


def compiled(wanted: list[str], tested: list[str], *options: str) -> str:
    """The resolved packages as text of a requirements file; CalledProcessError if uv finds no solution."""
    constraints = HERE / "tested.constraints"
    constraints.write_text("\n".join(tested), encoding="utf-8")
    command = [Path(sys.executable).with_name("uv"), "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--python-version", PYTHON]
    command += ["--python-platform", PLATFORM, "--constraint", constraints, *options]
    try:
        return subprocess.run(command, input="\n".join(wanted), capture_output=True, text=True, check=True).stdout
    finally:
        constraints.unlink()


if __name__ == "__main__":
    sys.exit(main())
