"""Compute users' embeddings with the user tower (the model that encodes a history) in plain torch, as a reference.

Serving uses a compiled encoder, which gives the same values.
"""

from __future__ import annotations

import numpy as np
import torch

from recsys.kernels import time_features
from recsys.model.towers import EmbeddedHistory, UserTower
from recsys.types import F32, PAD, Histories


@torch.inference_mode()
def encode(tower: UserTower, embeddings: F32, histories: Histories) -> F32:
    """The embeddings [B, d] of B users, as `recsys.model.user_encoder.UserEncoder.encode` computes them."""
    real = histories.items != PAD
    items = embeddings[histories.items.clip(min=0)] * real[..., None]
    types = np.minimum(histories.types, tower.types.num_embeddings - 1).astype(np.int64)
    past = EmbeddedHistory(*map(torch.from_numpy, (items, real, types, time_features.gaps(histories))))
    asked = torch.from_numpy(time_features.waits(histories)), torch.from_numpy(histories.context.astype(np.int64))
    users: F32 = tower(past, *asked).numpy()
    return users
