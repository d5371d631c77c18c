"""A generation: one immutable unit with one id, and the manifest that proves it whole.

A generation is a folder. Every file in it is a part, named in the manifest with its size and sha256, and checked
before a byte of it is parsed. Nothing in it can run: npy arrays, safetensors, JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recsys.errors import GenerationError
from recsys.generation.item_tables import ItemTables
from recsys.generation.packed_strings import StringTable
from recsys.model.event_types import SeenRule
from recsys.model.feature_spec import FeatureSpec

FORMAT = 7
"""Raised when a generation's parts, spec or ranker no longer mean what they did: older code refuses it, and this code
older ones."""

MANIFEST = "manifest.json"
SPEC, TOWERS, RANKER = "spec.json", "towers.safetensors", "ranker.safetensors"
USER_IDS, USER_RECORDS = "user_ids", "user_records"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of a generation and of its parts. It becomes a path and a key."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a generation."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a generation is made of and where it came from.

    parts: every file by name. metrics: the evaluation table's served row and the best baseline's. data: name, rows,
    users, items, first and last timestamp, and the `DataProfile` that the next run is compared with. settings: what
    serving needs of the dataset's settings. forced: what the gate had refused, where it was promoted all the same.
    """

    id: str
    created: float
    code_version: str
    parts: dict[str, Part]
    dims: dict[str, int]
    data: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    forced: list[str] = field(default_factory=list)
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.bytes for part in self.parts.values())

    @property
    def stored_parts(self) -> dict[str, Part]:
        """The parts that are stored as they are; the users' become records."""
        return {name: part for name, part in self.parts.items() if not is_user_part(name)}

    @property
    def user_buckets(self) -> int:
        """Hashes that the users' records are spread over in the store."""
        return max(1, self.dims["users"] // 512)

    @property
    def data_end(self) -> float:
        """When the newest event of the data happened, unix seconds; 0 where it is not told."""
        return float(self.data.get("last", 0))

    @property
    def sources(self) -> list[str] | None:
        """The candidate sources that the ranker was trained with, by name; None where the manifest names none."""
        return self.settings.get("sources")

    @property
    def seen_rule(self) -> SeenRule:
        """Which of a user's past items the dataset leaves out of slates."""
        return SeenRule.from_json(self.settings["exclude_seen"])

    def to_json(self) -> str:
        """As it stands in the folder and in the store."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, *, any_format: bool = False) -> Manifest:
        """Inverse of `to_json`; GenerationError where it isn't a manifest of this format.

        any_format: for those who only ask what there is, to compare with or to delete it.
        """
        try:
            raw = json.loads(text)
            if raw["format"] != FORMAT and not any_format:
                raise GenerationError(
                    f"The generation has format {raw['format']}; this code reads format {FORMAT}. "
                    "Make one with: python -m flows run --data DIR."
                )
            raw["parts"] = {name: Part(**part) for name, part in raw["parts"].items()}
            for name in (raw["id"], *raw["parts"]):
                if not NAME.fullmatch(name):
                    raise GenerationError(f"The generation's manifest names {name[:80]!r}, which is no name of a part.")
            return cls(**raw)
        except (ValueError, TypeError, KeyError) as error:
            raise GenerationError(f"The generation's manifest can't be read: {error}.") from error


def new_id(now: float | None = None) -> str:
    """A generation's id: sorts by time, unique by chance, safe in a key and a path."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"g{stamp}-{secrets.token_hex(3)}"


def is_user_part(name: str) -> bool:
    """Whether a part holds users' records, which serving reads one by one and never loads."""
    return name.startswith((USER_IDS, USER_RECORDS))


def describe(folder: Path) -> dict[str, Part]:
    """Size and sha256 of every file in `folder` but the manifest, and notes whose names begin with a dot."""
    return {
        path.name: _part(path)
        for path in sorted(folder.iterdir())
        if NAME.fullmatch(path.name) and path.name != MANIFEST
    }


def _part(path: Path) -> Part:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Part(digest, path.stat().st_size)


class GenerationFolder:
    """A generation on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def manifest(self) -> Manifest:
        """The manifest as it stands in the folder."""
        try:
            return Manifest.from_json((self.path / MANIFEST).read_bytes())
        except OSError as error:
            raise GenerationError(f"{self.path} holds no generation: {error.strerror}.") from error

    def seal(self, manifest: Manifest) -> None:
        """Write the manifest last: a folder without one is no generation."""
        (self.path / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")

    def verify(self, *, users: bool = False) -> Manifest:
        """Check size and sha256 of every part (the users' too, if asked); GenerationError names the first bad one."""
        manifest = self.manifest
        for name, part in manifest.parts.items():
            if is_user_part(name) and not users:
                continue
            self.verify_part(manifest.id, name, part)
        return manifest

    def verify_part(self, generation: str, name: str, part: Part) -> None:
        """Check size and sha256 of one part; GenerationError if it is missing or bad."""
        path = self.path / name
        if not path.is_file():
            raise GenerationError(f"Generation {generation} lacks its part {name}.")
        if _part(path) != part:
            raise GenerationError(f"Part {name} of generation {generation} is not what its manifest says.")

    def spec(self) -> FeatureSpec:
        """The feature spec."""
        return FeatureSpec.from_json((self.path / SPEC).read_bytes())

    def tables(self) -> ItemTables:
        """The item tables, mmapped; GenerationError where shapes disagree with the manifest."""
        tables = ItemTables.load(self.path)
        dims = self.manifest.dims
        expected = (dims["items"], dims["embedding"])
        if tables.embeddings.shape != expected:
            raise GenerationError(f"The item embeddings are {tables.embeddings.shape}, the manifest says {expected}.")
        return tables

    def users(self) -> tuple[StringTable, StringTable]:
        """Ids and packed records of the users the generation was trained on."""

        def strings(name: str) -> StringTable:
            return StringTable(
                np.load(self.path / f"{name}.data.npy", mmap_mode="r", allow_pickle=False),
                np.load(self.path / f"{name}.offsets.npy", mmap_mode="r", allow_pickle=False),
            )

        return strings(USER_IDS), strings(USER_RECORDS)
