"""What a container runs: `python -m service.container [COMMAND ...]`; without a command, `python -m service serve`.

The root may be read-only: all that is written goes below TANDEM_HOME. Imports nothing that has to be installed.
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
"""Names the folder of compiled kernels that an image was built with, which may be one that can't be written."""

STAMP = "stamp"
"""A file of it: tells the kernels of one build from those of another."""

NATIVE = "native"
"""As NUMBA_CPU_NAME: compile for this very processor, as outside of images; those of the image stay unused."""

LEVEL = "x86-64-v3"
"""What kernels are compiled for: AVX2 and its time, which servers have had since 2015. Kept kernels are taken where
name and features are the same to the letter, and an image is rarely built on the processor that it then runs on.
Exact search of 100,000 items took .53/.46/.58 ms of CPU a user at 1/8/32 at once, on an AMD EPYC with AVX2; compiled
for that very processor .67/.46/.50, and for any x86-64 ("generic") 2.2/1.8/1.9: by hand, picked of three passes on busy
cores, so read the factor of four and not the digits."""

FEATURES = "+cx16,+popcnt,+sahf,+sse3,+ssse3,+sse4.1,+sse4.2,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
"""Of LEVEL, for kernels that ask; LLVM takes them from the name."""

FLAGS = frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "abm", "movbe"})
"""By which the kernel of the system calls the newest of them."""


def main(arguments: list[str]) -> int:
    """Become the command; 1 with a sentence on stderr where there is nowhere to write."""
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
    """Where BentoML, and whoever wants a temporary file, may write; OSError where TANDEM_HOME can't be written."""
    bentoml, temporary = home / "bentoml", home / "tmp"
    bentoml.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=home):
        pass
    found = {"TANDEM_HOME": str(home), "BENTOML_HOME": str(bentoml)}
    if not os.access("/tmp", os.W_OK):
        shutil.rmtree(temporary, ignore_errors=True)  # of a container that was here before
        temporary.mkdir(exist_ok=True)
        found["TMPDIR"] = str(temporary)
    return found


def for_processor(environment: dict[str, str], flags: frozenset[str]) -> None:
    """Have kernels compiled for LEVEL, where this processor has it and nobody said otherwise."""
    said = environment.get("NUMBA_CPU_NAME")
    if said == NATIVE:
        del environment["NUMBA_CPU_NAME"]
    elif said is None and flags >= FLAGS:
        environment |= {"NUMBA_CPU_NAME": LEVEL, "NUMBA_CPU_FEATURES": FEATURES}


def kept_kernels(home: Path, shipped: str | None) -> dict[str, str]:
    """Where compiled kernels are kept: beside those that the image was built with, copied here by the first start.

    Numba reads no folder that it can't write. Those of an image that was here before are removed.
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
        with suppress(OSError):  # a container that shares this home was faster
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
    """What this processor can, as Linux tells it; nothing on others than x86-64."""
    if platform.machine() != "x86_64":
        return frozenset()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
