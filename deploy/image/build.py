"""`make image`: the bento that was built last, as an image, by docker, podman or buildah, whichever is there.

Settings, all optional: IMAGE (its name; the bento's otherwise), IMAGE_BASE (what it is built on; bentofile.yaml says
it otherwise), IMAGE_ENGINE (one of the three), IMAGE_OPTIONS (further options of its build, as `bentoml containerize
--opt` takes them), and IMAGE_ARGS (arguments of Dockerfile.j2, NAME=value: TANDEM_TORCH_INDEX, mirrors, certificates).
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
    """Build; the exit code of the engine, or 1 where there is none."""
    engine = found(environment)
    if engine is None:
        print(NONE, file=sys.stderr)
        return 1
    home = Path(environment["BENTOML_HOME"]).absolute()
    bento = latest(home)
    image = environment.get("IMAGE") or bento
    print(f"tandem: {engine} builds {image} ...", flush=True)
    # BentoML unpacks into a temporary folder and then wants the template below the current one: they are one here.
    with tempfile.TemporaryDirectory() as folder:
        # Docker's format keeps the health check, which the other one has no place for.
        told = {"BUILDAH_FORMAT": "docker", "BENTOML_DO_NOT_TRACK": "True"} | dict(environment)
        own = {"TMPDIR": folder, "BENTOML_HOME": str(home)}
        asked = command(engine, bento, image, environment)
        code = subprocess.run(asked, env=told | own, cwd=folder, check=False).returncode
    if code == 0 and not built(engine, image, environment):
        code = 1  # BentoML says so in its log alone
    print(f"tandem: {image}" if code == 0 else f"tandem: {image} was not built; {engine}'s lines above say why.")
    return code


def found(environment: Mapping[str, str]) -> str | None:
    """The first engine that is there and answers, or the one that was named."""
    for engine in [environment["IMAGE_ENGINE"]] if environment.get("IMAGE_ENGINE") else ENGINES:
        if shutil.which(engine, path=environment.get("PATH")):
            asked = subprocess.run([engine, "info"], env=dict(environment), capture_output=True, check=False)
            if asked.returncode == 0:
                return engine
    return None


def latest(home: Path) -> str:
    """The tag of the bento that was built last."""
    return f"tandem:{(home / 'bentos' / 'tandem' / 'latest').read_text(encoding='utf-8').strip()}"


def command(engine: str, bento: str, image: str, environment: Mapping[str, str]) -> list[str]:
    """What BentoML is asked to do."""
    arguments = shlex.split(environment.get("IMAGE_ARGS", ""))
    if base := environment.get("IMAGE_BASE"):
        arguments.append(f"BASE_IMAGE={base}")
    options = shlex.split(environment.get("IMAGE_OPTIONS", "")) + [f"build-arg={each}" for each in arguments]
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    told = [part for option in options for part in ("--opt", option)]
    return [bentoml, "containerize", bento, "--backend", engine, "--image-tag", image, *told]


def built(engine: str, image: str, environment: Mapping[str, str]) -> bool:
    """Whether the engine has the image."""
    asked = [engine, "inspect", "--type", "image", image]
    return subprocess.run(asked, env=dict(environment), capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
