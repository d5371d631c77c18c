"""`make image-test`: builds the container image, runs it confined, calls the service in it, and stops it under load.

It builds the base and the bento (BentoML's package of the code) first. The test takes minutes, needs root and no
daemon. All its files are in one folder, which is removed; KEEP=1 keeps it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.operate.pinning import pin
from loadtests.processes.free_ports import free_ports
from recsys.environment import Environment
from recsys.generation.manifest import GenerationFolder
from recsys.store.redis.generation_store import RedisGenerationStore
from tests.image import base, calls, registries
from tests.image.sandbox import Box
from tests.sample_data import tiny
from tests.servers.deployment import ROOT
from tests.servers.store_server import StoreServer

IMAGE = "localhost/tandem:image-test"

COPIED = ("service", "recsys", "deploy", "bentofile.yaml", "slo.toml")

PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "unshare": "util-linux",
    "mount": "mount",
    "/usr/lib/podman/netavark": "netavark",
}
"""Commands, and the Debian package of each."""

OPTIONS = "isolation=chroot network=host ulimit=nofile=20000:20000 ulimit=nproc=90000:90000"
"""Of buildah where there is neither a daemon nor an OCI runtime."""

READY_SECONDS, STOP_SECONDS = 180, 40


def main() -> int:
    """Run all steps; 0 if all passed."""
    if why := _missing():
        print(f"image-test: {why}")
        return 1
    with _folder() as work:
        os.environ["CONTAINERS_STORAGE_CONF"] = str(_storage(work))
        _timed("base", base.build, work)
        checkout = work / "checkout"
        checkout.mkdir()
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, checkout / name)
        _timed("a generation, pinned", _pin, work / "state")
        home = work / "state" / "bentoml"
        pin = str(home / "pinned.json")
        _timed("bento", _python, checkout, "-m", "bentoml", "build", "--arg-file", pin, BENTOML_HOME=str(home))
        _timed("image", _image, checkout, work)
        print(f"image-test: {_size()}", flush=True)
        return _run(work)


def _missing() -> str | None:
    """The reason why the image can't be tested here, with the fix; None if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "The image is built and run in namespaces of its own, which takes root on Linux: sudo make image-test"
    packages = sorted({package for command, package in PACKAGES.items() if shutil.which(command) is None})
    if packages:
        return f"Some tools are missing: apt-get update && apt-get install {' '.join(packages)}"
    return None


def _pin(home: Path) -> None:
    """Train tiny models and pin them, so that the next bento contains them."""
    folder, _ = tiny.generation(home)  # into HOME/generations, where a flow leaves what it makes
    pin(folder.path.name, Environment(home, None))


def _image(checkout: Path, work: Path) -> None:
    with registries.arguments(work) as arguments:
        settings = {
            "IMAGE": IMAGE,
            "IMAGE_BASE": base.NAME,
            "IMAGE_OPTIONS": OPTIONS,
            "IMAGE_ARGS": " ".join(arguments),
        }
        home = {"BENTOML_HOME": str(work / "state" / "bentoml"), "IMAGE_ENGINE": "buildah"}
        _python(checkout, "-m", "deploy.image.build", **settings, **home)


def _run(work: Path) -> int:
    http, grpc = free_ports(2)
    store = StoreServer(work / "store").start()
    variables = {"PORT": str(http), "GRPC_PORT": str(grpc), "REDIS_URL": store.url, "TANDEM_KEYS": "none"}
    try:
        with Box(IMAGE, work / "container.log", **variables) as box:
            _confined(box)
            try:
                return _served(box, f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc}", work, store)
            finally:
                print(f"image-test: the log of the container:\n{box.log.read_text()}", flush=True)
    finally:
        store.kill()


def _confined(box: Box) -> None:
    """Check the user, the read-only root and the absent tools."""
    user = box.run("id", "-u").stdout.strip()
    assert user == "1034", f"it runs as user {user}"
    written = box.run("touch", "/home/bentoml/bento/src/x", "/app/x", "/tmp/x", "/x").stderr
    assert written.count("Read-only file system") == 4, written
    tools = [name for name in ("uv", "cc", "gcc", "make", "git") if box.run("which", name).returncode == 0]
    assert not tools, f"it holds {tools}"
    print("image-test: user 1034, the root read-only, no tool that builds", flush=True)


def _served(box: Box, http: str, grpc: str, work: Path, store: StoreServer) -> int:
    box.start()
    seconds = calls.wait_until_ready(http, READY_SECONDS, lambda: box.process.poll() is None)
    print(f"image-test: ready after {seconds:.1f} s", flush=True)
    # The store is empty: the image serves its pinned generation, and no user has a history.
    print(f"image-test: HTTP, from the pinned generation: {calls.slate(http, known=False)}", flush=True)
    [trained] = (work / "state" / "generations").glob("g*")
    tiny.publish(GenerationFolder(trained), RedisGenerationStore(store.url))
    print(f"image-test: HTTP: {calls.slate(http)}\nimage-test: gRPC: {calls.slate('grpc://' + grpc)}", flush=True)
    health = box.run(*box.config["Healthcheck"]["Test"][1:])
    assert health.returncode == 0, health.stderr
    shipped, here = (_kernels(Path(f"/proc/{box.first}/root") / folder) for folder in ("app", "var/lib/tandem"))
    print(f"image-test: {len(shipped)} kernels are in the image, compiled here: {sorted(here - shipped)}")
    code, took, answers = calls.stopped_under_load(http, grpc, lambda: box.stop(STOP_SECONDS))
    lost = [each for each in answers if each.failed]
    print(f"image-test: SIGTERM under load: ended with {code} in {took:.1f} s; {len(answers)} requests; lost: {lost}")
    left = [each for each in Path("/proc").glob("[0-9]*") if _root_of(each).startswith(str(box.root))]
    assert not left, f"processes {left} are left"
    held = not lost and code == 0
    print(f"image-test: {'passed' if held else 'FAILED: accepted requests were lost, or the exit code is not 0'}")
    return 0 if held else 1


def _kernels(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("kernels/**/*.nbc")}


def _root_of(process: Path) -> str:
    try:
        return str((process / "root").readlink())
    except OSError:
        return ""


def _size() -> str:
    whole, under = (
        json.loads(base.run(["buildah", "images", "--json", name]))[0]["size"] for name in (IMAGE, base.NAME)
    )
    return f"the image takes {whole}, of which its base {under}"


def _python(folder: Path, *arguments: str, **variables: str) -> None:
    own = {"BENTOML_DO_NOT_TRACK": "True", **variables}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=os.environ | own, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"image-test: {' '.join(arguments)} failed:\n{(done.stdout + done.stderr)[-4000:]}")


def _timed(name: str, do: Callable[..., object], *arguments: object, **more: str) -> None:
    started = time.monotonic()
    do(*arguments, **more)
    print(f"image-test: {name} ({time.monotonic() - started:.0f} s)", flush=True)


def _storage(work: Path) -> Path:
    """Images and containers of this test's own."""
    path = work / "storage.conf"
    path.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{work}/images"\nrunroot = "{work}/run"\n')
    return path


@contextmanager
def _folder() -> Iterator[Path]:
    # Not below .tandem: BentoML takes no template from a folder whose name begins with a dot.
    work = Path(tempfile.mkdtemp(prefix="tandem-image-test-", dir="/var/tmp"))
    try:
        yield work
    finally:
        if os.environ.get("KEEP"):
            print(f"image-test: {work} is kept; CONTAINERS_STORAGE_CONF={work}/storage.conf buildah ...")
        else:
            subprocess.run(["umount", f"{work}/images/overlay"], capture_output=True, check=False)  # buildah's own
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
