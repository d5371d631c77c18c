"""Hashes that are right prove nothing about sense: what can't be served is refused before it is used, by name."""

import json
import pickle
import shutil
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from recsys.errors import GenerationError
from recsys.generation import soundness
from recsys.generation.loader import load_ranker, load_retriever, try_out
from recsys.generation.manifest import MANIFEST, RANKER, TOWERS, GenerationFolder, describe
from recsys.generation.smoke_queries import SmokeQueries
from recsys.lists.user_record import UserRecord
from recsys.model.context_lift import places
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.types import CLOCK, CONTEXTS
from service.generations.served import ServedGeneration
from tests.sample_data import tiny


@pytest.fixture
def folder(tiny_world, tmp_path):
    """A copy to break."""
    return GenerationFolder(shutil.copytree(tiny_world[0].path, tmp_path / "copy"))


def seal(folder):
    """Let the manifest say of every part what it now is: no hash will tell."""
    raw = json.loads((folder.path / MANIFEST).read_text())
    raw["parts"] = {name: {"sha256": part.sha256, "bytes": part.bytes} for name, part in describe(folder.path).items()}
    (folder.path / MANIFEST).write_text(json.dumps(raw))
    folder.verify(users=True)
    return folder


def change(folder, name, how):
    """One array of a folder, changed and sealed."""
    array = np.load(folder.path / name)
    np.save(folder.path / name, how(array))
    return seal(folder)


def with_first(value):
    def how(array):
        array.flat[0] = value
        return array

    return how


def test_a_sound_generation_is_served(folder):
    """Nothing wrong, nothing said, by any of the three that load it."""
    soundness.check(folder)
    for load in (try_out, ServedGeneration.load):
        load(folder)


@pytest.mark.parametrize(
    ("part", "how", "told"),
    [
        ("embeddings.npy", with_first(np.nan), "embeddings"),
        ("embeddings.npy", lambda a: a * 2, "length 1"),
        ("embeddings.npy", lambda a: a[:, :-1], "embeddings"),
        ("embeddings.npy", lambda a: a.astype(np.float64), "float64"),
        ("rounded.npy", lambda a: a[::-1].copy(), "bytes of the item embeddings"),
        ("rounded.npy", lambda a: a[:, :-1], "rounded"),
        ("popularity.npy", with_first(np.inf), "popularity"),
        ("popularity.npy", with_first(-1), "negative"),
        ("by_popularity.npy", with_first(1), "by_popularity"),
        ("by_popularity.npy", lambda a: a[1:], "by_popularity"),
        ("ids.rows.npy", with_first(-1), "index of the ids"),
        ("ids.rows.npy", lambda a: a[::-1].copy(), "other ids"),
        ("ids.hashes.npy", lambda a: a[::-1].copy(), "other ids"),
        ("age.npy", with_first(np.nan), "age"),
        ("available.npy", lambda a: a[1:], "available"),
        ("content.npy", with_first(10**6), "tokens"),
        ("covisit.rows.npy", with_first(10**6), "covisit"),
        ("follow.weights.npy", with_first(np.nan), "follow"),
        ("ids.offsets.npy", lambda a: a[::-1].copy(), "ids"),
        ("titles.offsets.npy", lambda a: a[:-1], "titles"),
        ("context_lift.table.npy", lambda a: a[:-1], "context_lift"),
        ("context_lift.starts.npy", with_first(1), "context_lift.starts"),
        ("context_lift.starts.npy", lambda a: np.array([0, 9, *a[2:]], np.int32), "context_lift.starts"),
        ("context_lift.starts.npy", lambda a: np.array([*range(9), a[-1]], np.int32), "context_lift.starts"),
        ("context_lift.starts.npy", lambda a: a.astype(np.int64), "context_lift.starts"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_by_name(folder, part, how, told):
    """Wrong types, shapes and ranges, and what is not finite, each with a right hash."""
    with pytest.raises(GenerationError, match=told):
        soundness.check(change(folder, part, how))


@pytest.mark.parametrize("part", [TOWERS, RANKER])
def test_weights_that_are_not_finite_are_refused(folder, part):
    """A training that went wrong is not served."""
    weights = load_file(folder.path / part)
    name = next(name for name in weights if name not in {"mean", "deviation"})
    weights[name].view(-1)[0] = torch.nan
    save_file(weights, folder.path / part)
    with pytest.raises(GenerationError, match="not finite"):
        soundness.check(seal(folder))


@pytest.mark.parametrize(("deviation", "sound"), [(torch.inf, True), (torch.nan, False), (0.0, False), (-1.0, False)])
def test_a_deviation_is_above_0(folder, deviation, sound):
    """And infinite where a feature never varied: features are multiplied by one by it."""
    weights = load_file(folder.path / RANKER)
    weights["deviation"][3] = deviation
    save_file(weights, folder.path / RANKER)
    with nullcontext() if sound else pytest.raises(GenerationError, match="deviation holds numbers that are not above"):
        soundness.check(seal(folder))


def test_a_column_of_the_context_that_is_empty_is_sound(folder):
    """All its values are missing in the log, so it has no place in the table; a value is then one nobody knows."""
    starts = np.load(folder.path / "context_lift.starts.npy")
    soundness.check(change(folder, "context_lift.starts.npy", lambda a: np.append(a, a[-1])))
    context = np.ones((1, CLOCK + CONTEXTS), np.uint8)
    assert places(context, np.append(starts, starts[-1]))[0, -1] == -1


def test_a_tower_of_more_columns_than_a_context_has_is_refused(folder):
    """Compiled code would read on."""
    weights = load_file(folder.path / TOWERS)
    weights |= {f"user.contexts.{column}.weight": torch.zeros_like(weights["user.waits.weight"]) for column in range(5)}
    save_file(weights, folder.path / TOWERS)
    with pytest.raises(GenerationError, match="more than 4 columns"):
        soundness.check(seal(folder))


@pytest.mark.parametrize("part", ["embeddings.npy", "smoke.scores.npy", TOWERS, RANKER, "spec.json"])
def test_a_pickle_in_a_parts_place_is_refused_and_never_run(folder, part, tmp_path):
    """Nothing in a generation can run, whatever its hash says."""

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    if part.endswith(".npy"):
        np.save(folder.path / part, np.array([Bomb()], object), allow_pickle=True)
    else:
        (folder.path / part).write_bytes(pickle.dumps(Bomb()))
    seal(folder)
    with pytest.raises(GenerationError, match=r"can't be read|is wanted"):
        try_out(folder)
    assert not (tmp_path / "exploded").exists()


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A generation of the same dims, from another seed."""
    return tiny.generation(tmp_path_factory.mktemp("other"), seed=1)[0]


@pytest.mark.parametrize(
    ("part", "load"), [("embeddings.npy", load_retriever), (TOWERS, load_retriever), (RANKER, load_ranker)]
)
def test_a_mixture_of_two_generations_gives_itself_away(folder, other, part, load):
    """A part of another generation has the right shape and finite numbers: the smoke queries tell."""
    shutil.copy(other.path / part, folder.path / part)
    seal(folder)
    with pytest.raises(GenerationError, match=r"not of one making|does not belong"):
        load(folder)


def test_smoke_queries_answer_the_same_after_a_journey(folder):
    """Saved and loaded, they are found again."""
    smoke = SmokeQueries.load(folder.path)
    smoke.check_retrieval(Retriever.load(folder))
    smoke.check_ranking(Ranker.load(folder))
    assert len(smoke.histories) > 8


def test_smoke_queries_are_nobodys_history(tiny_world):
    """They travel in images, where what users did has no place."""
    folder, log = tiny_world
    asked = SmokeQueries.load(folder.path).histories
    real = asked.items >= 0
    assert real.sum() > 100
    assert not set(asked.times[real].tolist()) & set(log.times.tolist())


def test_no_smoke_queries_prove_nothing(folder):
    """A generation whose queries were taken away is refused, not waved through."""
    for path in folder.path.glob("smoke.*.npy"):
        np.save(path, np.load(path)[:0])
    with pytest.raises(GenerationError, match="prove nothing"):
        try_out(seal(folder))


def test_a_damaged_record_is_no_record(tiny_world):
    """A flipped bit anywhere in a user's record is found when it is read, not when it is used."""
    _, blobs = tiny_world[0].users()
    whole = blobs.bytes_at(3)
    UserRecord.unpack(whole)
    for at in range(len(whole)):
        broken = bytearray(whole)
        broken[at] ^= 4
        with pytest.raises(ValueError, match="damaged"):
            UserRecord.unpack(bytes(broken))
