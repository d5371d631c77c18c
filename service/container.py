"""The entry point of a container: it prepares folders and compiled kernels, and runs a command, by default the server.

Usage: `python -m service.container [COMMAND ...]`, by default `python -m service serve`. The root may be read-only: all
files are written below TANDEM_HOME. The module imports only the standard library.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from service.generations import PINNED

KERNELS = "BENTO_KERNELS"
"""The environment variable with the folder of the image's compiled kernels, which may be read-only."""

STAMP = "stamp"
"""The file of that folder with the id of the build."""

NATIVE = "native"
"""The value of NUMBA_CPU_NAME that compiles for the processor of this machine and leaves the image's kernels unused."""

LEVEL = "x86-64-v3"
"""The processor that kernels are compiled for: AVX2, which servers have had since 2015. Numba loads a stored kernel
only if the name and features are equal, and an image rarely runs on the processor that built it. Exact search of
100,000 items took .5 ms of CPU a user on an AMD EPYC with AVX2, and 1.9 ms compiled for any x86-64 ("generic")."""

FEATURES = "+cx16,+popcnt,+sahf,+sse3,+ssse3,+sse4.1,+sse4.2,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
"""The features of LEVEL."""

FLAGS = frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "abm", "movbe"})
"""The names in /proc/cpuinfo of the newest features of LEVEL."""


def main(arguments: list[str]) -> int:
    """Execute the command; 1 with a sentence on stderr if TANDEM_HOME can't be written."""
    environment = dict(os.environ)
    home = Path(environment.get("TANDEM_HOME") or ".tandem").absolute()
    try:
        environment |= places(home) | kept_kernels(home, environment.get(KERNELS))
        environment |= linked_model(home, environment.get("BENTO_PATH"))
    except OSError as error:
        sys.stderr.write(
            f"tandem: {home} can't be written ({error.strerror}) by user {os.geteuid()}. Mount a volume or a tmpfs "
            "there that this user may write, or set TANDEM_HOME to one.\n"
        )
        return 1
    for_processor(environment, _flags())
    served = not arguments or arguments[0].startswith("-")
    command = [sys.executable, "-m", "service", "serve", *arguments] if served else arguments
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        sys.stderr.write(f"tandem: {command[0]} can't be run ({error.strerror}).\n")
        return 127


def places(home: Path) -> dict[str, str]:
    """The folders of BentoML and of temporary files; OSError if TANDEM_HOME can't be written."""
    bentoml, temporary = home / "bentoml", home / "tmp"
    bentoml.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=home):
        pass
    found = {"TANDEM_HOME": str(home), "BENTOML_HOME": str(bentoml)}
    if not os.access("/tmp", os.W_OK):
        shutil.rmtree(temporary, ignore_errors=True)  # of a container before
        temporary.mkdir(exist_ok=True)
        found["TMPDIR"] = str(temporary)
    return found


def for_processor(environment: dict[str, str], flags: frozenset[str]) -> None:
    """Compile kernels for LEVEL if this processor has it and NUMBA_CPU_NAME is not set."""
    name = environment.get("NUMBA_CPU_NAME")
    if name == NATIVE:
        del environment["NUMBA_CPU_NAME"]
    elif name is None and flags >= FLAGS:
        environment |= {"NUMBA_CPU_NAME": LEVEL, "NUMBA_CPU_FEATURES": FEATURES}


def kept_kernels(home: Path, shipped: str | None) -> dict[str, str]:
    """The folder of compiled kernels: a copy of the image's, made at the first start, as Numba has to write there.

    The copies of other images are removed.
    """
    kept = home / "kernels"
    kept.mkdir(exist_ok=True)
    try:
        stamp = (Path(shipped or "") / STAMP).read_text(encoding="ascii").strip()
    except OSError:
        return {"NUMBA_CACHE_DIR": str(kept / "own")}
    target = kept / stamp
    if not target.is_dir():
        for old in kept.iterdir():
            shutil.rmtree(old, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(dir=kept))
        shutil.copytree(shipped or "", scratch, dirs_exist_ok=True)
        with suppress(OSError):  # another container of this home was faster
            scratch.rename(target)
    return {"NUMBA_CACHE_DIR": str(target)}


def linked_model(home: Path, bento: str | None) -> dict[str, str]:
    """The variable that names the generation of the bento, linked into a folder of this home.

    The links are of files, in a folder that can be written: a note beside the parts says that the generation was
    verified. Without the note each process reads every byte again.
    """
    models = [path for path in (Path(bento) / "models").glob("tandem/*") if path.is_dir()] if bento else []
    links = home / "pinned"
    for old in links.glob("*"):
        if old.name not in {model.name for model in models}:
            shutil.rmtree(old)  # of another image
    for part in (part for model in models for part in model.iterdir()):
        target = links / part.parent.name / part.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            target.symlink_to(part)
    return {PINNED: str(links / models[0].name)} if models else {}


def _flags() -> frozenset[str]:
    """The features of this processor, by Linux; none on other processors than x86-64."""
    if platform.machine() != "x86_64":
        return frozenset()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
