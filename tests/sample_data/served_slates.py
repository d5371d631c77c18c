"""Made-up rows of served slates (ordered lists of recommended items), as the flow `drain` writes them."""

import json

import numpy as np
import pandas as pd

from training.read.impressions import COLUMNS, PREFIX

DAY = 86_400.0
PLACES = 10


def slates(users=400, days=7, seed=0):
    """Slates of ten items from time 0 on. Half of the users come daily, the others on one day in seven on average."""
    random = np.random.default_rng(seed)
    daily = np.arange(users) % 2 == 1
    user, day = np.nonzero(daily[:, None] | (random.random((users, days)) < 1 / 7))
    at = np.tile(np.arange(PLACES), len(user))
    user, day = np.repeat(user, PLACES), np.repeat(day, PLACES)
    items = np.where(at == 0, random.integers(3, size=len(at)), random.zipf(1.5, len(at)) % 500 + 3)
    sources = np.array(["tower", "tower,ease", "popular"])[random.integers(3, size=len(at))]
    found = pd.DataFrame(
        {
            "impression": [f"{seed}-{each}-{of}" for each, of in zip(user, day, strict=True)],
            "user_id": [f"u{each}" for each in user],
            "generation": "g1",
            "time": day * DAY + 9.0,
            "asked": day * DAY + 8.9,
            "mode": np.where(user % 3 == 0, "hybrid", "realtime"),
            "surface": "home",
            "item_id": [f"i{each}" for each in items],
            "place": at,
            "score": 5.0 - at + random.normal(size=len(at)),
            "sources": sources,
            "context": [json.dumps({"device": "tv" if each % 5 else "phone"}) for each in user],
        }
    )
    features = pd.DataFrame(random.gamma(2.0, size=(len(at), len(COLUMNS))), columns=COLUMNS)
    features[f"{PREFIX}history_length"] = np.log1p(user % 30)
    return pd.concat([found, features], axis=1)
