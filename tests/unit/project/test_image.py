"""The packages, the locks and the build command of the image, without an engine."""

import re

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from deploy.image import bill_of_materials, build
from deploy.image.lock import HERE, ROOT

LOCK = (HERE / "requirements.lock").read_text(encoding="utf-8")
TORCH = (HERE / "torch.lock").read_text(encoding="utf-8")
BENTOFILE = yaml.safe_load((ROOT / "bentofile.yaml").read_text(encoding="utf-8"))


def blocks(lock):
    """By name, the version and the hashes of each package."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", lock, flags=re.MULTILINE)).strip().splitlines()
    found = {}
    for line in lines:
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        name, _, version = requirement.partition("==")
        found[canonicalize_name(name.strip())] = (Version(version.strip()), hashes)
    return found


def test_the_lock_has_all_that_the_bento_asks_for_in_the_range_it_asks_for():
    """Three lists of one truth: pyproject.toml, bentofile.yaml (tests/integration/test_bento.py) and the lock."""
    locked = {name: version for name, (version, _) in (blocks(LOCK) | blocks(TORCH)).items()}
    wanted = [Requirement(each) for each in BENTOFILE["python"]["packages"]]
    wrong = [
        str(each)
        for each in wanted
        if canonicalize_name(each.name) not in locked or locked[canonicalize_name(each.name)] not in each.specifier
    ]
    assert wrong == [], "run `make lock`"


@pytest.mark.parametrize("name", ["requirements.lock", "tools.lock"])
def test_every_file_that_is_installed_is_known_by_its_hash(name):
    """But for torch's, whose files differ from index to index."""
    packages = blocks((HERE / name).read_text(encoding="utf-8"))
    assert packages
    for package, (_, hashes) in packages.items():
        assert hashes, package
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), package


def test_the_locks_name_no_index_and_nothing_of_cuda():
    """The index is a setting of the build; the packages of CUDA take 3 GB. BentoML needs nvidia-ml-py alone."""
    for path in HERE.glob("*.lock"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?:|--index|--find-links|--extra", text), path
        assert {name for name in blocks(text) if re.match("nvidia|cuda|triton", name)} <= {"nvidia-ml-py"}
    assert "torch" not in blocks(LOCK)


def test_the_bento_takes_along_what_its_image_is_built_with():
    """The bento includes every file that Dockerfile.j2 runs or reads."""
    template = (HERE / "Dockerfile.j2").read_text(encoding="utf-8")
    named = set(re.findall(r"deploy/image/[\w.*]+", template))
    assert named == {"deploy/image/*.lock", "deploy/image/install.sh", "deploy/image/warm.py"}
    assert named <= set(BENTOFILE["include"])
    assert BENTOFILE["docker"]["base_image"].startswith("python:3.11")  # as the lock, and the tests


def test_without_an_engine_the_image_says_what_to_install(tmp_path, capsys):
    """One sentence, and nothing is tried."""
    assert build.main({"PATH": str(tmp_path), "BENTOML_HOME": str(tmp_path)}) == 1
    assert "none of docker, podman and buildah is here" in capsys.readouterr().err


def test_an_audit_tells_nothing_known_from_nothing_asked():
    """Findings fail it; a list of vulnerabilities that is out of reach does not, and is no pass either."""
    sound = {"name": "a", "version": "1", "vulns": []}
    bad = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
    skipped = {"name": "c", "skip_reason": "not found"}
    assert bill_of_materials.verdict([sound, skipped])[0] == 0
    assert "not audited: c" in bill_of_materials.verdict([sound, skipped])[1]
    code, sentence = bill_of_materials.verdict([sound, bad])
    assert code == 1
    assert "b 2: PYSEC-1 (fixed in 3)" in sentence
    for nothing in ([], [skipped]):
        code, sentence = bill_of_materials.verdict(nothing)
        assert code == 0
        assert "NOT AUDITED" in sentence
