"""The proto, its generated code, and the released proto agree."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
PROTO = Path("service/grpc/tandem/v1/recommender.proto")
MADE = ("recommender_pb2.py", "recommender_pb2.pyi", "recommender_pb2_grpc.py")
DESCRIPTORS = Path("clients/python/tandem_client/recommender.binpb")
BUF = Path(sys.executable).with_name("buf")


def buf(folder, *words):
    return subprocess.run([BUF, *words], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path):
    """Copies of the proto, the released proto and the rules of buf, which a test may change."""
    for part in (PROTO, Path("buf.yaml"), Path("tests/released/tandem/v1/recommender.proto")):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, tmp_path / part)
    return tmp_path


def test_the_generated_code_is_what_the_proto_makes(copy):
    """`make proto` would change nothing."""
    pytest.importorskip("grpc_tools")
    outs = [f"--{out}=." for out in ("python_out", "pyi_out", "grpc_python_out")]
    outs += ["--include_imports", "--descriptor_set_out=recommender.binpb"]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *outs, str(PROTO)]
    subprocess.run(command, cwd=copy, check=True)
    for name in MADE:
        made = (copy / PROTO).with_name(name)
        assert made.read_text() == (ROOT / PROTO).with_name(name).read_text(), f"{name} is old: make proto"
    assert (copy / "recommender.binpb").read_bytes() == (ROOT / DESCRIPTORS).read_bytes(), f"{DESCRIPTORS}: make proto"


def test_the_proto_keeps_the_rules_and_breaks_nothing_released(copy):
    """The rules of `make lint`."""
    for words in (["lint"], ["breaking", "--against", "tests/released"]):
        result = buf(copy, *words)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("old", "new"), [("int32 known = 3;", "int32 known = 5;"), ("optional int64 k = 3;", "string k = 3;")]
)
def test_a_breaking_change_is_refused(copy, old, new):
    """Such as a new number or type of a field."""
    proto = (copy / PROTO).read_text()
    assert old in proto
    (copy / PROTO).write_text(proto.replace(old, new))
    assert buf(copy, "breaking", "--against", "tests/released").returncode != 0


def test_a_name_out_of_style_is_refused(copy):
    """Field names are lower_snake_case."""
    (copy / PROTO).write_text((copy / PROTO).read_text().replace("int32 seen = 6;", "int32 hasSeen = 6;"))
    assert buf(copy, "lint").returncode != 0
