"""`make image`: builds the container image of the service from the newest bento (BentoML's package of the code).

Docker, podman or buildah builds it, the first that works. Optional environment variables: IMAGE, the name of the image
(default: the bento's tag); IMAGE_BASE, the base image (default: that of bentofile.yaml); IMAGE_ENGINE, one of the three
engines; IMAGE_OPTIONS, options for `bentoml containerize --opt`; IMAGE_ARGS, build arguments of Dockerfile.j2 as
NAME=value: TANDEM_TORCH_INDEX, mirrors, certificates.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ENGINES = ("docker", "podman", "buildah")

NONE = (
    "tandem: none of docker, podman and buildah is here, or none that works. Install one, on Debian for example: "
    "apt-get install buildah netavark"
)


def main(environment: Mapping[str, str]) -> int:
    """Build the image. Return the exit code of the engine, or 1 if no engine works."""
    engine = find_engine(environment)
    if engine is None:
        print(NONE, file=sys.stderr)
        return 1
    home = Path(environment["BENTOML_HOME"]).absolute()
    bento = latest_bento(home)
    image = environment.get("IMAGE") or bento
    print(f"tandem: {engine} builds {image} ...", flush=True)
    # BentoML unpacks the bento into TMPDIR and reads the template below the current folder, so both are one folder.
    with tempfile.TemporaryDirectory() as folder:
        # Only Docker's image format has health checks.
        defaults = {"BUILDAH_FORMAT": "docker", "BENTOML_DO_NOT_TRACK": "True"} | dict(environment)
        paths = {"TMPDIR": folder, "BENTOML_HOME": str(home)}
        arguments = command(engine, bento, image, environment)
        code = subprocess.run(arguments, env=defaults | paths, cwd=folder, check=False).returncode
    if code == 0 and not built(engine, image, environment):
        code = 1  # BentoML logs the failure and exits with 0
    print(f"tandem: {image}" if code == 0 else f"tandem: {image} was not built; see the lines of {engine} above.")
    return code


def find_engine(environment: Mapping[str, str]) -> str | None:
    """The first engine that works, or IMAGE_ENGINE if that one works; else None."""
    for engine in [environment["IMAGE_ENGINE"]] if environment.get("IMAGE_ENGINE") else ENGINES:
        if shutil.which(engine, path=environment.get("PATH")):
            info = subprocess.run([engine, "info"], env=dict(environment), capture_output=True, check=False)
            if info.returncode == 0:
                return engine
    return None


def latest_bento(home: Path) -> str:
    """The tag of the newest bento."""
    return f"tandem:{(home / 'bentos' / 'tandem' / 'latest').read_text(encoding='utf-8').strip()}"


def command(engine: str, bento: str, image: str, environment: Mapping[str, str]) -> list[str]:
    """The `bentoml containerize` command."""
    arguments = shlex.split(environment.get("IMAGE_ARGS", ""))
    if base := environment.get("IMAGE_BASE"):
        arguments.append(f"BASE_IMAGE={base}")
    options = shlex.split(environment.get("IMAGE_OPTIONS", "")) + [f"build-arg={each}" for each in arguments]
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    engine_options = [part for option in options for part in ("--opt", option)]
    return [bentoml, "containerize", bento, "--backend", engine, "--image-tag", image, *engine_options]


def built(engine: str, image: str, environment: Mapping[str, str]) -> bool:
    """Whether the engine has the image."""
    inspect = [engine, "inspect", "--type", "image", image]
    return subprocess.run(inspect, env=dict(environment), capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
