"""The bento: its files, its image, the starts of `bentoml serve`, and slates from an empty folder."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml

from recsys.errors import NOTHING_LIVE
from recsys.generation.manifest import GenerationFolder, is_user_part
from recsys.store import RedisGenerationStore
from recsys.store.embedded_valkey import EmbeddedValkey
from tandem_client import Client
from tests.edge.sockets import listening
from tests.judged_load.expected_slates import ExpectedSlates
from tests.sample_data import tiny
from tests.servers.deployment import ROOT, Deployment, workers
from tests.servers.store_server import StoreServer

BENTOML = Path(sys.executable).with_name("bentoml")
START_BY_PYTHON = """
from service.gateway import Gateway
Gateway.serve_http(host="0.0.0.0")
"""


@pytest.fixture(scope="module")
def checkout(tiny_world, tmp_path_factory):
    """A copy of the checkout's tracked files, with the environment linked and the tiny generation live in `.tandem`."""
    copy = tmp_path_factory.mktemp("copy") / "checkout"
    run = partial(subprocess.run, cwd=copy, check=True, capture_output=True, text=True)
    for name in run(["git", "ls-files"], cwd=ROOT).stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(Path(sys.prefix))
    run(["git", "init", "-q"])
    run(["git", "add", "-A"])
    folder = tiny_world[0]
    shutil.copytree(folder.path, copy / ".tandem" / "generations" / folder.manifest.id)
    store = EmbeddedValkey(copy / ".tandem" / "store")
    live = RedisGenerationStore(store.ensure())
    tiny.publish(GenerationFolder(copy / ".tandem" / "generations" / folder.manifest.id), live)
    live.close()
    store.stop()
    return copy


def state_of(checkout):
    """The status of git, ignored files included."""
    command = ["git", "status", "--porcelain", "--ignored"]
    return subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def built(checkout):
    """The bento of `make build`, made without a network, and the status of git before."""
    before = state_of(checkout)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TANDEM_", "REDIS_", "BENTOML_"))}
    nowhere = "http://127.0.0.1:9"
    env |= {"http_proxy": nowhere, "https_proxy": nowhere, "PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
    command = ["make", "-o", ".venv/installed", "build"]  # -o: the environment is there
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = [path for path in (checkout / ".tandem/bentoml/bentos/tandem").iterdir() if path.is_dir()]
    return folder, before


def test_the_bento_holds_serving_and_nothing_else(built):
    """service/, recsys/ and the files that build its image; no training, flows, tests or data."""
    bento, _ = built
    files = {path.relative_to(bento / "src") for path in (bento / "src").rglob("*") if path.is_file()}
    image = {file for file in files if file.parts[0] == "deploy"}
    assert {file.name for file in image} == {"requirements.lock", "tools.lock", "torch.lock", "install.sh", "warm.py"}
    files -= image
    code = {file for file in files if file.suffix == ".py"}
    assert {file.parts[0] for file in code} == {"service", "recsys"}
    expected = {path.relative_to(ROOT) for name in ("service", "recsys") for path in (ROOT / name).rglob("*.py")}
    assert code == expected
    pages = (ROOT / "service" / "pages").rglob("*")
    shown = {str(path.relative_to(ROOT)) for path in pages if path.is_file() and path.suffix not in {".py", ".pyc"}}
    scripts = {str(path.relative_to(ROOT)) for path in (ROOT / "recsys").rglob("*.lua")}
    assert {str(file) for file in files - code} == {"slo.toml", "bentofile.yaml", *shown, *scripts}


def test_the_image_has_a_stage_that_installs_and_a_stage_that_serves(built):
    """The second stage of BentoML's Dockerfile has no installer, and serves as a user other than root."""
    bento, _ = built
    lines = (bento / "env" / "docker" / "Dockerfile").read_text().splitlines()
    steps = [line for line in lines if line and line[0] not in "# "]
    assert [step for step in steps if step.startswith("FROM")] == [
        "FROM ${BASE_IMAGE} AS packages",
        "FROM ${BASE_IMAGE} AS base-container",
    ]
    served = steps[steps.index("FROM ${BASE_IMAGE} AS base-container") :]
    assert [step for step in served if step.startswith("USER")] == ["USER 1034:1034"]
    after = served[served.index("USER 1034:1034") :]
    assert "EXPOSE 3000 3001 3002" in after
    assert after[-1] == 'ENTRYPOINT ["python", "-m", "service.container"]'
    assert any(step.startswith("HEALTHCHECK") for step in after)
    assert not any("BENTOML_CONTAINERIZED" in step for step in steps)  # with it BentoML replaces no dead worker
    assert not any(tool in step for step in served for tool in ("pip", "uv ", "apt-get", "curl"))


def serving(bento, folder, store, home):
    """The bento, served from an empty folder with an empty TANDEM_HOME. home: its BENTOML_HOME."""
    (folder / "empty").mkdir()
    command = [str(BENTOML), "serve", str(bento), "--host", "127.0.0.1", "--port", "{port}"]
    variables = {"REDIS_URL": store, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    return Deployment(folder / "state", folder / "log", command, folder / "empty", **variables)


def slate(running, degraded):
    """The first slate that is degraded by these stages alone: on a busy machine other stages may be late before."""
    end = time.monotonic() + 120
    while True:
        answer = httpx.post(f"{running.url}/recommend", json={"user_id": 4}, timeout=10).json()
        if answer["degraded"] == degraded:
            return answer
        assert time.monotonic() < end, answer["degraded"]


def test_make_build_pins_what_is_live_and_leaves_the_checkout_as_it_was(built, checkout, tiny_world, tmp_path):
    """The bento serves the pinned model from an empty folder, at both doors, without a store and with an empty one.

    The model holds no data of users. A killed worker is replaced, as in an image.
    """
    bento, before = built
    generation = tiny_world[0].manifest.id
    assert state_of(checkout) == before
    listed = yaml.safe_load((bento / "bento.yaml").read_text())
    assert listed["args"] == {"model": f"tandem:{generation}"}
    assert [model["tag"] for model in listed["services"][0]["models"]] == [f"tandem:{generation}"]
    home = bento.parents[2]
    assert not any(is_user_part(path.name) for path in (home / "models" / "tandem" / generation).iterdir())
    copy_kernels(bento / "src")
    store = StoreServer(tmp_path / "store")
    with serving(bento, tmp_path, store.url, home) as running:
        answer = slate(running, ["store"])
        assert answer["generation"] == generation
        assert ExpectedSlates(tiny_world[0]).agrees(answer, time.time())
        with Client(f"grpc://{running.grpc}") as client:
            assert client.recommend(4).generation == generation
        assert running.log.read_text().count(f"ready at {running.url} and grpc://{running.grpc}") == 1
        store.start()
        assert slate(running, [])["generation"] == generation
        [victim] = workers(running, "Ranking")
        os.kill(victim, signal.SIGKILL)
        end = time.monotonic() + 60
        while workers(running, "Ranking") <= {victim}:
            assert time.monotonic() < end, running.log.read_text()
            time.sleep(0.1)
        slate(running, [])
    store.stop()


def copy_kernels(target):
    """Copy the compiled kernels of the checkout into a copy of `recsys`: compiling them takes a minute."""
    for source in (ROOT / "recsys").rglob("*.py"):
        shutil.copystat(source, target / source.relative_to(ROOT))  # Numba compares times
    for compiled in (ROOT / "recsys").rglob("__pycache__"):
        shutil.copytree(compiled, target / compiled.relative_to(ROOT), dirs_exist_ok=True)


SERVE = (str(BENTOML), "serve")


def test_bentoml_serve_without_arguments_answers_at_both_doors_of_loopback(tiny_world, tmp_path):
    """It needs no key, and other machines can connect to none of its sockets.

    While no generation is live, the log names the command that trains and publishes.
    """
    store = StoreServer(tmp_path / "store").start()
    variables = {"REDIS_URL": store.url, "BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    running = Deployment(tmp_path / "state", tmp_path / "log", [str(BENTOML), "serve"], **variables)
    running.start()
    try:
        line = f"listening at {running.url} and grpc://{running.grpc}, not ready: {NOTHING_LIVE}"
        end = time.monotonic() + 120
        while line not in running.log.read_text():
            assert time.monotonic() < end, running.log.read_text()
            time.sleep(0.1)
        published = tiny.publish(tiny_world[0], RedisGenerationStore(store.url))
        running.wait_until_ready()
        for url in (running.url, f"grpc://{running.grpc}"):
            with Client(url) as client:
                assert client.recommend(4).generation == published
        addresses, _ = listening(running.process.pid)
        assert {host for host, _ in addresses} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    finally:
        running.stop()
        store.stop()


@pytest.mark.parametrize(
    ("options", "variables", "sentence"),
    [
        (["--ssl-certfile", "a.pem", "--ssl-keyfile", "a.key"], {}, "Set TANDEM_TLS_CERT and TANDEM_TLS_KEY instead: "),
        (["--host", "127.0.0.2"], {}, "Set TANDEM_HOST=127.0.0.2 instead: "),
        ([], {"TANDEM_HOST": "localhost"}, "tandem: TANDEM_HOST=localhost is no IP address."),
    ],
)
def test_a_wrong_option_or_setting_ends_bentoml_serve(embedded_url, tmp_path, options, variables, sentence):
    """TLS and the address have to hold for both doors; the sentence names the settings."""
    code, log = ended([*SERVE, *options], tmp_path, REDIS_URL=embedded_url, **variables)
    assert code == 1
    assert sentence in log


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        (SERVE, {"BENTOML_CONFIG_OPTIONS": "services.Gateway.http.host=0.0.0.0"}),
        ([sys.executable, "-c", START_BY_PYTHON], {}),
    ],
)
def test_no_start_serves_other_machines_without_keys(embedded_url, tmp_path, command, variables):
    """An address of a network that only the sockets show ends the start, with the sentence that names TANDEM_KEYS."""
    _, log = ended(command, tmp_path, REDIS_URL=embedded_url, **variables)
    assert "no key is needed. Name a file of keys in TANDEM_KEYS" in log


def ended(command, folder, **variables):
    """The exit code and the log of a start that ends by itself; the log has no traceback."""
    deployment = Deployment(folder / "state", folder / "log", command, BENTOML_HOME=str(folder / "home"), **variables)
    deployment.start()
    try:
        code = deployment.process.wait(120)
    finally:
        deployment.process.kill()
    log = deployment.log.read_text()
    assert "Traceback" not in log
    return code, log
