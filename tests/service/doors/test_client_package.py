"""The wheel of the client, installed without the project, against a deployment."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]

CALL = """
import json, sys
sys.path.insert(0, sys.argv[1])
import tandem_client
with tandem_client.Client(sys.argv[2]) as client:
    user = "wheel of " + sys.argv[2]
    client.add_events([{"user_id": user, "item_id": "drama-1"}])
    slate = client.recommend(user, k=3)
    try:
        client.recommend("wheel", k=101)
    except tandem_client.RequestRefused as error:
        refused = [error.field, str(error)]
print(json.dumps([tandem_client.__file__, len(slate.items), slate.history, refused, sorted(sys.modules)]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy, because a build leaves files beside the source."""
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(ROOT / "clients" / "python", folder / "source")
    build = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(build, check=True, timeout=300)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel):
    """A folder with the installed wheel and nothing else."""
    target = wheel.parent / "site"
    subprocess.run([*PIP, "install", "--no-deps", "--target", str(target), str(wheel)], check=True, timeout=300)
    return target


def test_the_wheel_is_typed_and_needs_only_httpx_and_pydantic(wheel):
    """gRPC is an extra."""
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        [metadata] = [opened.read(name).decode() for name in names if name.endswith("/METADATA")]
    assert {"tandem_client/py.typed", "tandem_client/recommender.binpb"} <= set(names)
    needs = [line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert [re.match(r"\w+", need)[0] for need in needs if "extra" not in need] == ["httpx", "pydantic"]
    assert [re.match(r"\w+", need)[0] for need in needs if 'extra == "grpc"' in need] == ["grpcio", "protobuf"]


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_the_wheel_calls_a_deployment_and_imports_nothing_of_it(deployment, site, door):
    """No module of the project, of the model or of the store is imported; over HTTP none of gRPC."""
    url = deployment.url if door == "http" else f"grpc://{deployment.grpc}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", CALL, str(site), url], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    file, items, history, refused, modules = json.loads(done.stdout)
    assert Path(file).is_relative_to(site)
    assert (items, history) == (3, 1)
    assert refused == ["k", "Input should be less than or equal to 100."]
    heavy = {"bentoml", "torch", "numpy", "redis", "starlette", "recsys", "service"}
    assert not heavy & set(modules)
    assert ("grpc" in modules) == (door == "grpc")
