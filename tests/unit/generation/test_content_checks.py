"""Content checks: a generation with right hashes that can't be served is refused, and the error names the part."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from recsys.errors import GenerationError
from recsys.generation import content_checks
from recsys.generation.loader import check_servable, load_ranker, load_retriever
from recsys.generation.manifest import MANIFEST, RANKER, TOWERS, GenerationFolder, describe
from recsys.generation.smoke_queries import SmokeQueries
from tests.sample_data import tiny


@pytest.fixture
def folder(tiny_world, tmp_path):
    """A copy to damage."""
    return GenerationFolder(shutil.copytree(tiny_world[0].path, tmp_path / "copy"))


def seal(folder):
    """Write the hashes of the changed parts into the manifest."""
    raw = json.loads((folder.path / MANIFEST).read_text())
    raw["parts"] = {name: {"sha256": part.sha256, "bytes": part.bytes} for name, part in describe(folder.path).items()}
    (folder.path / MANIFEST).write_text(json.dumps(raw))
    folder.verify(users=True)
    return folder


def change(folder, name, how):
    """Change one array of a folder, and seal it."""
    array = np.load(folder.path / name)
    np.save(folder.path / name, how(array))
    return seal(folder)


def with_first(value):
    def how(array):
        array.flat[0] = value
        return array

    return how


@pytest.mark.parametrize(
    ("part", "how", "fault"),
    [
        ("embeddings.npy", with_first(np.nan), "embeddings"),
        ("embeddings.npy", lambda a: a * 2, "length 1"),
        ("embeddings.npy", lambda a: a[:, :-1], "embeddings"),
        ("rounded.npy", lambda a: a[::-1].copy(), "bytes of the item embeddings"),
        ("popularity.npy", with_first(np.inf), "popularity"),
        ("by_popularity.npy", with_first(1), "by_popularity"),
        ("ids.rows.npy", with_first(-1), "index of the ids"),
        ("ids.rows.npy", lambda a: a[::-1].copy(), "other ids"),
        ("age.npy", with_first(np.nan), "age"),
        ("content.npy", with_first(10**6), "tokens"),
        ("covisit.rows.npy", with_first(10**6), "covisit"),
        ("titles.offsets.npy", lambda a: a[:-1], "titles"),
        ("context_lift.table.npy", lambda a: a[:-1], "context_lift"),
        ("context_lift.starts.npy", with_first(1), "context_lift.starts"),
        ("context_lift.starts.npy", lambda a: a.astype(np.int64), "context_lift.starts"),
    ],
)
def test_a_wrong_array_is_refused_by_name(folder, part, how, fault):
    """Wrong types, shapes and ranges, and numbers that are not finite, each with a right hash."""
    with pytest.raises(GenerationError, match=fault):
        content_checks.check(change(folder, part, how))


@pytest.mark.parametrize("part", [TOWERS, RANKER])
def test_weights_that_are_not_finite_are_refused(folder, part):
    """Weights of a failed training are not served."""
    weights = load_file(folder.path / part)
    name = next(name for name in weights if name not in {"mean", "deviation"})
    weights[name].view(-1)[0] = torch.nan
    save_file(weights, folder.path / part)
    with pytest.raises(GenerationError, match="not finite"):
        content_checks.check(seal(folder))


@pytest.mark.parametrize("part", ["embeddings.npy", "smoke.scores.npy", TOWERS, RANKER, "spec.json"])
def test_a_pickle_as_a_part_is_refused_and_not_run(folder, part, tmp_path):
    """No part of a generation can run code, even with a right hash."""

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    if part.endswith(".npy"):
        np.save(folder.path / part, np.array([Bomb()], object), allow_pickle=True)
    else:
        (folder.path / part).write_bytes(pickle.dumps(Bomb()))
    seal(folder)
    with pytest.raises(GenerationError, match=r"can't be read|is wanted"):
        check_servable(folder)
    assert not (tmp_path / "exploded").exists()


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A generation of the same dims, from another seed."""
    return tiny.generation(tmp_path_factory.mktemp("other"), seed=1)[0]


@pytest.mark.parametrize(
    ("part", "load"), [("embeddings.npy", load_retriever), (TOWERS, load_retriever), (RANKER, load_ranker)]
)
def test_a_mixture_of_two_generations_is_refused(folder, other, part, load):
    """A part of another generation has the right shape and finite numbers. The smoke queries find it."""
    shutil.copy(other.path / part, folder.path / part)
    seal(folder)
    with pytest.raises(GenerationError, match=r"not of one making|does not belong"):
        load(folder)


def test_smoke_queries_hold_no_data_of_users(tiny_world):
    """They are part of images, which must not contain histories of users."""
    folder, log = tiny_world
    histories = SmokeQueries.load(folder.path).histories
    real = histories.items >= 0
    assert real.sum() > 100
    assert not set(histories.times[real].tolist()) & set(log.times.tolist())
