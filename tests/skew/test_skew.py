"""Training and serving compute the same embedding and the same score for a history."""

import time
from dataclasses import replace

import httpx
import numpy as np
import torch

from recsys.generation.manifest import RANKER, TOWERS
from recsys.model import time_features
from recsys.model.ranker import Ranker, RankerNet
from recsys.model.towers import EmbeddedHistory, Towers
from recsys.model.user_encoder import UserEncoder
from recsys.retrieval.retriever import Retriever
from recsys.types import CLOCK, CONTEXTS, PAD

USERS = range(0, 60, 3)


def trained_vectors(folder, log, histories):
    """User embeddings of the training loop: the last of all prefixes."""
    towers = Towers.load(folder.path / TOWERS)
    rows = torch.from_numpy(histories.items).long()
    embeddings = towers.item(torch.arange(len(log.catalogue)), torch.from_numpy(log.catalogue.content).long())
    real = rows != PAD
    x = embeddings[rows.clamp(min=0)] * real[..., None]
    past = EmbeddedHistory(
        x, real, torch.from_numpy(histories.types).long(), torch.from_numpy(time_features.gaps(histories))
    )
    waits = torch.zeros(rows.shape, dtype=torch.long)
    waits[:, -1] = torch.from_numpy(time_features.waits(histories))
    context = torch.zeros((*rows.shape, histories.context.shape[1]), dtype=torch.long)
    context[:, -1] = torch.from_numpy(histories.context)
    with torch.inference_mode():
        return towers.user.every_prefix(past, waits, context)[:, -1].numpy(), embeddings.detach().numpy()


def test_training_and_serving_encode_the_same_history_to_the_same_vector(tiny_world):
    """The pass over every prefix, with embeddings of the item tower, equals the serving encoder."""
    folder, log = tiny_world
    users = np.arange(len(log.user_ids))
    histories = replace(log.final_histories(users), context=log.context_of(users))
    trained, _ = trained_vectors(folder, log, histories)
    encoder = UserEncoder(Towers.load(folder.path / TOWERS).user, folder.tables().embeddings)
    served = encoder.encode(histories)
    assert np.abs(trained - served).max() < 1e-5


def test_the_service_scores_what_training_scores(tiny_world, untouched):
    """Tower and ranker scores of every item of slates in a context, through HTTP, the store and three processes."""
    folder, log = tiny_world
    now = np.full(len(log.user_ids), time.time())
    context = np.zeros((len(log.user_ids), CLOCK + CONTEXTS), np.uint8)
    context[:, :CLOCK] = time_features.clock(now)
    column, devices = log.catalogue.spec.contexts[0]
    context[:, CLOCK] = 1 + np.arange(len(now)) % len(devices)
    everybody = replace(log.final_histories(np.arange(len(log.user_ids))), now=now, context=context)
    trained, embeddings = trained_vectors(folder, log, everybody)
    retriever, ranker = Retriever.load(folder), Ranker(RankerNet.load(folder.path / RANKER), folder.tables())
    ids = folder.tables().ids
    checked = 0
    for user in USERS:
        asked = {"user_id": int(log.user_ids[user]), "k": 20, "context": {column: devices[user % len(devices)]}}
        answer = httpx.post(f"{untouched.url}/recommend", json=asked).json()
        histories = everybody.take(np.array([user]))
        candidates = retriever.retrieve(histories)
        scores = dict(zip(candidates.items[0].tolist(), ranker.score(histories, candidates)[0].tolist(), strict=True))
        for item in answer["items"]:
            row = ids.row_of(item["item_id"])
            assert abs(item["tower_score"] - float(trained[user] @ embeddings[row])) < 2e-4
            assert abs(item["score"] - scores[row]) < 2e-3
            checked += 1
    assert checked == len(USERS) * 20
