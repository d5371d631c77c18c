"""Training and serving compute the same embedding of a user's history."""

from dataclasses import replace

import numpy as np
import torch

from recsys.generation.manifest import TOWERS
from recsys.kernels import time_features
from recsys.model.towers import EmbeddedHistory, Towers
from recsys.model.user_encoder import UserEncoder
from recsys.types import PAD


def trained_embeddings(folder, log, histories):
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
        return towers.user.every_prefix(past, waits, context)[:, -1].numpy()


def test_a_history_has_one_embedding_in_training_and_in_serving(tiny_world):
    """The pass over every prefix, with embeddings of the item tower, equals the serving encoder."""
    folder, log = tiny_world
    users = np.arange(len(log.user_ids))
    histories = replace(log.final_histories(users), context=log.context_of(users))
    trained = trained_embeddings(folder, log, histories)
    encoder = UserEncoder(Towers.load(folder.path / TOWERS).user, folder.tables().embeddings)
    assert np.abs(trained - encoder.encode(histories)).max() < 1e-5
