"""The proto, its generated code and the schema agree; `make lint` compares the proto with the released one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.grpc import convert
from service.schema import verb_table
from service.schema.verb_table import VERBS

ROOT = Path(__file__).resolve().parents[4]
PROTO = Path("service/grpc/tandem/v1/recommender.proto")
MADE = ("recommender_pb2.py", "recommender_pb2.pyi", "recommender_pb2_grpc.py")
DESCRIPTORS = Path("clients/python/tandem_client/recommender.binpb")


def test_the_generated_code_is_what_the_proto_makes(tmp_path):
    """`make proto` would change nothing."""
    pytest.importorskip("grpc_tools")
    made_from = tmp_path / PROTO
    made_from.parent.mkdir(parents=True)
    shutil.copy(ROOT / PROTO, made_from)
    outs = [f"--{out}=." for out in ("python_out", "pyi_out", "grpc_python_out")]
    outs += ["--include_imports", "--descriptor_set_out=recommender.binpb"]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *outs, str(PROTO)]
    subprocess.run(command, cwd=tmp_path, check=True)
    for name in MADE:
        made = made_from.with_name(name)
        assert made.read_text() == (ROOT / PROTO).with_name(name).read_text(), f"{name} is old: make proto"
    assert (tmp_path / "recommender.binpb").read_bytes() == (ROOT / DESCRIPTORS).read_bytes(), "make proto"


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.rpc)
def test_the_proto_has_the_fields_of_the_schema(verb):
    """A field in one of the two alone would be lost."""
    method = convert.SERVICE.methods_by_name[verb.rpc]
    assert set(method.input_type.fields_by_name) - {convert.CONDITIONS} == set(verb.takes.model_fields)
    gives = method.output_type.fields_by_name
    gives = gives["slates"].message_type.fields_by_name if verb is verb_table.RECOMMEND else gives
    assert set(gives) == set(verb.gives[0].model_fields)


def test_the_proto_has_every_verb():
    """The proto has no other method."""
    assert set(convert.SERVICE.methods_by_name) == {verb.rpc for verb in VERBS}
