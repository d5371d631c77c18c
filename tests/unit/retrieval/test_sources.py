"""Candidate sources: one file adds one, and a wrong one is an error at the import."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import GenerationError
from recsys.generation.loader import check_servable
from recsys.generation.manifest import GenerationFolder

ROOT = Path(__file__).resolve().parents[3]

ADDED = """
import json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from recsys.retrieval import sources
sources.__path__.append(sys.argv[1])  # as if the file lay in the folder of the sources
from recsys.model import features
from recsys.generation.manifest import GenerationFolder
from recsys.lists.list_maker import ListMaker
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.generation.loader import check_servable
from recsys.types import PAD
from recsys.lists.user_list import UserList
from service.verbs import answer_models as answers
from tests.sample_data import tiny
from tests.fakes.in_process import InProcessService
from training.read import dataset
from training.export.generation import Origin, export
from training.encode.interaction_log import encode
from training.recipe import train

def seen(folder):
    world = InProcessService(folder)
    query = world.run(world.query(traced=True))
    slate = answers.slate(query)
    explained = [world.explain(world.query(traced=True), int(row)) for row in query.items]
    retriever, ranker = Retriever.load(folder), Ranker.load(folder)
    maker = ListMaker(folder.manifest, folder.tables(), folder.spec(), retriever, ranker)
    [made] = maker.make([(query.record, [])], query.now)
    candidates = query.candidates
    return {
        "proposed": candidates.items[(candidates.sources & 256) != 0].tolist(),
        "seen": query.seen.tolist(),
        "popularity": folder.tables().popularity[:, 0].tolist(),
        "degraded": query.degraded,
        "slate": [[folder.tables().ids.row_of(str(item.item_id)), item.sources] for item in slate.items],
        "explained": [[told.sources, {f.name: [f.value, f.contribution] for f in told.features}] for told in explained],
        "listed": made.items[(UserList.unpack(made.pack()).sources & 256) != 0].tolist(),
    }

old = GenerationFolder(Path(sys.argv[2]))
check_servable(old)
log = encode(dataset.read(tiny.write(Path(sys.argv[3]) / "data")))
config = replace(tiny.CONFIG, tower=replace(tiny.CONFIG.tower, epochs=2), ranker=replace(tiny.CONFIG.ranker, epochs=2))
new = export(Path(sys.argv[3]) / "generations", log, train(log, config), config, Origin("tiny"))
check_servable(new)
print(json.dumps({"features": features.FEATURES, "new": str(new.path), "of_old": seen(old), "of_new": seen(new)}))
"""


@pytest.fixture(scope="module")
def added(tiny_world, tmp_path_factory):
    """What a process finds that has a ninth source: the example of docs/sources.md, in one file."""
    text = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    package, home = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("home")
    (package / "evergreen.py").write_text(example, encoding="utf-8")
    asked = [sys.executable, "-c", ADDED, package, tiny_world[0].path, home]
    told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


def test_a_ninth_source_in_one_file_proposes_candidates_and_is_named(added):
    """Its share of unseen items are candidates; answer, explanation, list and the ranker's feature name the source."""
    assert added["features"][-1] == "from_evergreen"
    found = added["of_new"]
    order = np.argsort(-np.array(found["popularity"]), kind="stable").tolist()
    wanted = [row for row in order if row not in found["seen"]][:16]
    assert sorted(found["proposed"]) == sorted(wanted)
    assert set(found["listed"]) == set(wanted)
    assert not found["degraded"]
    named = 0
    for (row, sources), (explained, of_one) in zip(found["slate"], found["explained"], strict=True):
        assert ("evergreen" in sources) == (row in wanted)
        assert explained == sources
        assert of_one["from_evergreen"][0] == (row in wanted)
        named += row in wanted
    assert named


def test_a_generation_from_before_a_source_is_served_without_the_source(added):
    """The smoke queries hold, no candidate has the flag, and the feature says nothing."""
    found = added["of_old"]
    assert not found["proposed"]
    assert not found["degraded"]
    assert len(found["slate"]) == 10
    for sources, of_one in found["explained"]:
        assert "evergreen" not in sources
        assert of_one["from_evergreen"] == [0, 0]
        assert any(contribution for _, contribution in of_one.values())


def test_a_generation_of_a_source_that_the_code_lacks_is_refused(added):
    """With a sentence that names the sources of both."""
    with pytest.raises(
        GenerationError, match=r"trained with the sources .*repeat, evergreen, and this code has .*repeat\."
    ):
        check_servable(GenerationFolder(Path(added["new"])))
