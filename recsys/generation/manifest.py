"""The manifest of a generation (a folder of trained models and tables): it lists each file with its size and sha256.

A file, called a part, is checked against the manifest before it is parsed. Parts are npy arrays, safetensors and JSON,
so that none can run code.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from recsys.errors import GenerationError
from recsys.files.atomic_write import atomic_write
from recsys.generation.item_tables import ItemTables
from recsys.generation.packed_strings import StringTable
from recsys.model.event_types import SeenRule
from recsys.model.feature_spec import FeatureSpec

FORMAT = 9
"""The version of the parts, the spec, the ranker's features and the records. Code refuses all other formats. 9: the
ranker reads event counts (`recsys.kernels.recent_events`) and a dataset's own columns."""

MANIFEST = "manifest.json"
SPEC, TOWERS, RANKER = "spec.json", "towers.safetensors", "ranker.safetensors"
USER_IDS, USER_RECORDS = "user_ids", "user_records"

_VERIFIED = ".verified"

_TICK = 0.02
"""Seconds, twice the longest step of the clock of file times (Linux, 100 Hz)."""

logger = logging.getLogger("tandem")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The form of ids of generations and names of parts, which become paths and keys."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a generation."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of a generation and their origin.

    parts: every file by name. metrics: of the served models and of the best baseline, as evaluated. data: name,
    rows, users, items, first and last timestamp, and the `DataProfile` with which the next run is compared. settings:
    the dataset's settings that serving needs. forced: the failed checks of a generation that was promoted by force.
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
        """The parts that the store holds as files. The parts of users are stored as records."""
        return {name: part for name, part in self.parts.items() if not is_user_part(name)}

    @property
    def user_buckets(self) -> int:
        """Hashes in the store over which the records of users are spread."""
        return max(1, self.dims["users"] // 512)

    @property
    def users_left(self) -> int:
        """Users in the folder: those of the training without the ones that were deleted from the folder since."""
        return self.dims["users"] - self.dims.get("forgotten", 0)

    @property
    def without_users(self) -> Manifest:
        """The manifest without what the deletion of a user from the folder changes."""
        dims = {name: size for name, size in self.dims.items() if name != "forgotten"}
        return replace(self, parts=self.stored_parts, dims=dims)

    @property
    def data_end(self) -> float:
        """The time of the newest event of the data, unix seconds; 0 if unknown."""
        return float(self.data.get("last", 0))

    @property
    def sources(self) -> list[str] | None:
        """The names of the candidate sources in the ranker's training; None if the manifest has none."""
        return self.settings.get("sources")

    @property
    def seen_rule(self) -> SeenRule:
        """The dataset's rule on which of a user's past items are excluded from recommendations."""
        return SeenRule.from_json(self.settings["exclude_seen"])

    def to_json(self) -> str:
        """The text that folder and store hold."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, *, any_format: bool = False) -> Manifest:
        """Inverse of `to_json`; GenerationError if the text is no manifest of this format.

        any_format: accept other formats too, to list or to delete a generation.
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
    """A new id: sorts by time, and ends with random digits."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"g{stamp}-{secrets.token_hex(3)}"


def is_user_part(name: str) -> bool:
    """Whether a part holds records of users, which serving reads one by one."""
    return name.startswith((USER_IDS, USER_RECORDS))


def describe(folder: Path) -> dict[str, Part]:
    """Size and sha256 of every file in `folder`, without the manifest and hidden files."""
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
        """The manifest of the folder, read at each call; GenerationError if it can't be read."""
        try:
            return Manifest.from_json((self.path / MANIFEST).read_bytes())
        except OSError as error:
            raise GenerationError(f"{self.path} holds no generation: {error.strerror}.") from error

    def seal(self, manifest: Manifest) -> None:
        """Write the manifest, after all parts: a folder without a manifest is no generation."""
        (self.path / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")

    def verify(self, *, users: bool = False) -> Manifest:
        """Check size and sha256 of every part, with `users` those of users too; GenerationError names a wrong part."""
        manifest = self.manifest
        for name, part in manifest.parts.items():
            if is_user_part(name) and not users:
                continue
            self.verify_part(manifest.id, name, part)
        return manifest

    def verify_part(self, generation: str, name: str, part: Part) -> None:
        """Check size and sha256 of one part; GenerationError if the part is missing or differs."""
        path = self.path / name
        if not path.is_file():
            raise GenerationError(f"Generation {generation} lacks its part {name}.")
        if _part(path) != part:
            raise GenerationError(f"Part {name} of generation {generation} is not what its manifest says.")

    @property
    def is_verified(self) -> bool:
        """Whether a process of this host verified the folder, and no part was written since.

        Each other process may skip the check: hashing 358 MB in six processes was most of a load (docs/decisions.md).
        """
        try:
            return bool(json.loads((self.path / _VERIFIED).read_text(encoding="utf-8")) == self._states())
        except (OSError, ValueError, GenerationError):
            return False

    def note_verified(self) -> None:
        """Note that the folder is verified; without effect on a disk that can't be written."""
        try:
            # Two writes within one tick of the system's clock would have the same time of change.
            newest = max((changed for _, _, changed in self._states().values()), default=0)
            time.sleep(min(_TICK, max(0.0, _TICK - (time.time_ns() - newest) / 1e9)))
            with atomic_write(self.path / _VERIFIED) as draft:
                draft.write_text(json.dumps(self._states()), encoding="utf-8")
        except OSError as error:
            logger.info("The verification of %s can't be noted there: %s.", self.path, error.strerror)

    def _states(self) -> dict[str, list[int]]:
        """Size, inode and time of change of every part. Programs can't set that time."""
        states = {name: (self.path / name).stat() for name in self.manifest.stored_parts}
        return {name: [state.st_size, state.st_ino, state.st_ctime_ns] for name, state in states.items()}

    def spec(self) -> FeatureSpec:
        """The feature spec."""
        return FeatureSpec.from_json((self.path / SPEC).read_bytes())

    def tables(self) -> ItemTables:
        """The item tables, mapped; GenerationError if the manifest has another number of items or dimensions."""
        tables = ItemTables.load(self.path)
        dims = self.manifest.dims
        expected = (dims["items"], dims["embedding"])
        if tables.embeddings.shape != expected:
            raise GenerationError(f"The item embeddings are {tables.embeddings.shape}, the manifest says {expected}.")
        return tables

    def users(self) -> tuple[StringTable, StringTable]:
        """Ids and packed records of the users in the training data."""
        return StringTable.load(self.path, USER_IDS), StringTable.load(self.path, USER_RECORDS)
