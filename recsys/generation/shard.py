"""A shard: the range of a generation's items that one retrieval process searches, such as the second of four."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST = 64
"""Shards, at most: the answers of retrieval name the missing ones by the bits of one number."""

_FORM = re.compile(r"([1-9]\d?)/([1-9]\d?)")


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `number`, from 1 on, of `count`. The ranges follow from the number of items in the manifest."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "2/4"; ValueError for another form."""
        found = _FORM.fullmatch(text)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count <= MOST:
            raise ValueError(f"write it as NUMBER/COUNT, such as 2/4, with at most {MOST} shards")
        return cls(number, count)

    @property
    def text(self) -> str:
        """Inverse of `parse`."""
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """As `degraded` in answers and the announcement of a process name it."""
        return shard_name(self.number)

    def rows(self, n: int) -> slice:
        """The rows of n items that are in the shard."""
        return slice(n * (self.number - 1) // self.count, n * self.number // self.count)


def shard_name(number: int) -> str:
    """The name of a shard, by its number from 1 on."""
    return f"retrieval-shard-{number}"
