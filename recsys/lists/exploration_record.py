"""The bytes of an `Exploration`, the draws of one slate: in the store, and in Parquet files (column `exploration`)."""

from __future__ import annotations

import json

import numpy as np

from recsys.lists.record_format import RecordFormat
from recsys.rules.exploration import DrawPolicy, Exploration

_FORMAT = RecordFormat("exploration", b"exp1", ["f8", "u8", "f4", "f4", "u1", "u1"])
_NUMBERS = 4
"""Numbers before the propensities: the deviation, and the policy without its seed."""


def pack(draws: Exploration) -> bytes:
    """The bytes of draws whose items are ids."""
    policy = draws.policy
    numbers = [draws.deviation, policy.temperature, policy.uncertain, policy.fewer_than, *draws.propensities.tolist()]
    bits = np.packbits(np.concatenate([draws.admitted.ravel(), draws.uncertain]))
    text = np.frombuffer(json.dumps(draws.items, separators=(",", ":")).encode(), np.uint8)
    seed = np.array([policy.seed], np.uint64)
    return _FORMAT.pack(numbers, seed, draws.scores, draws.values.ravel(), bits, text)


def unpack(blob: bytes) -> Exploration:
    """Inverse of `pack`; ValueError if the bytes are damaged or of another version."""
    numbers, seed, scores, values, bits, text = _FORMAT.unpack(blob)
    width, places = len(scores), len(numbers) - _NUMBERS
    deviation, temperature, share, fewer_than = numbers[:_NUMBERS].tolist()
    flags = np.unpackbits(bits, count=(places + 1) * width).astype(bool).reshape(places + 1, width)
    return Exploration(
        items=json.loads(text.tobytes()),
        scores=scores,
        values=values.reshape(-1, width),
        admitted=flags[:places],
        uncertain=flags[places],
        propensities=numbers[_NUMBERS:],
        deviation=deviation,
        policy=DrawPolicy(temperature, share, int(fewer_than), int(seed[0])),
    )
