"""The data contract: a folder of tables and a `dataset.toml` that maps their columns to Tandem's.

Knows files and pandas; knows no model. Bad rows leave for a quarantine file with their reason and are counted; a
table that is empty, mostly bad or lacks a column stops with a sentence that names the column and the fix.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from recsys.errors import DatasetError

MOSTLY_BAD = 0.5
"""Share of bad rows past which a table is refused: the mapping is wrong then, not the rows."""

DEFAULT_EVENT = "interaction"
MAPPING = "dataset.toml"


@dataclass(frozen=True, slots=True)
class Mapping:
    """A `dataset.toml`: where the tables are and which of their columns mean what."""

    path: Path
    name: str
    folder: Path
    interactions: dict[str, str]
    items: dict[str, Any]
    users: dict[str, Any]
    exclude_seen: bool

    @classmethod
    def read(cls, data: str | Path) -> Mapping:
        """Read the mapping at `data`: a folder that holds dataset.toml, or such a file that names the folder."""
        path = Path(data)
        if path.is_dir():
            path = path / MAPPING
        if not path.is_file():
            raise DatasetError(
                f"{path} does not exist. --data takes a folder with a {MAPPING}, or such a file that names the folder "
                '(folder = "..."). docs/data.md shows one of five lines.'
            )
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DatasetError(f"{path} is not valid TOML: {error}.") from error
        unknown = set(raw) - {"name", "folder", "interactions", "items", "users", "settings"}
        if unknown:
            raise DatasetError(
                f"{path} has an unknown entry '{sorted(unknown)[0]}'; docs/data.md lists what it may hold."
            )
        folder = (path.parent / raw.get("folder", ".")).resolve()
        if not folder.is_dir():
            raise DatasetError(f"{path} names the folder {folder}, which does not exist.")
        return cls(
            path=path,
            name=raw.get("name", folder.name),
            folder=folder,
            interactions=_section(path, raw, "interactions", {"file", "user_id", "item_id", "timestamp"}),
            items=_section(path, raw, "items", {"file", "item_id"}) if "items" in raw else {},
            users=_section(path, raw, "users", {"file", "user_id"}) if "users" in raw else {},
            exclude_seen=bool(raw.get("settings", {}).get("exclude_seen", True)),
        )


def _section(path: Path, raw: dict[str, Any], name: str, required: set[str]) -> dict[str, Any]:
    section = raw.get(name)
    if not isinstance(section, dict):
        raise DatasetError(f"{path} lacks its [{name}] section: it names the file and the columns.")
    missing = sorted(required - set(section))
    if missing:
        raise DatasetError(f'{path} lacks {missing[0]} in [{name}]; add a line such as {missing[0]} = "{missing[0]}".')
    return section


@dataclass(frozen=True)
class Dataset:
    """Validated tables with Tandem's column names.

    interactions: user_id, item_id, timestamp (float64 unix seconds), event_type, in order of time; rows of one second
    keep the file's order. items: item_id, title, available and content columns. users: user_id and attributes.
    quarantined: {table: {reason: rows}}.
    """

    name: str
    interactions: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    exclude_seen: bool
    content_columns: tuple[str, ...] = ()
    quarantined: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def bad_rows(self) -> int:
        """Rows in quarantine, over all tables."""
        return sum(sum(reasons.values()) for reasons in self.quarantined.values())


def read(data: str | Path, quarantine: Path | None = None) -> Dataset:
    """Read and validate the dataset at `data`; bad rows go to CSV files in `quarantine`, if given."""
    mapping = Mapping.read(data)
    ward = Quarantine(quarantine)
    interactions = _read_interactions(mapping, ward)
    items, content = _read_items(mapping, ward)
    users = _read_users(mapping, ward)
    return Dataset(mapping.name, interactions, items, users, mapping.exclude_seen, content, ward.counts)


class Quarantine:
    """Takes bad rows out of a table, with the reason beside each."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.counts: dict[str, dict[str, int]] = {}

    def sift(self, table: str, frame: pd.DataFrame, schema: pa.DataFrameSchema, source: str) -> pd.DataFrame:
        """The rows of `frame` that `schema` accepts; DatasetError if most are bad."""
        try:
            good: pd.DataFrame = schema.validate(frame, lazy=True)
            return good
        except pa.errors.SchemaErrors as errors:
            cases = errors.failure_cases.dropna(subset=["index"]).drop_duplicates("index")
        bad = frame.loc[cases["index"]].assign(
            reason=[f"{c}: {k}" for c, k in zip(cases["column"], cases["check"], strict=True)]
        )
        counts = bad["reason"].value_counts()
        self.counts[table] = {str(reason): int(n) for reason, n in counts.items()}
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            bad.to_csv(self._folder / f"{table}.csv", index_label="row")
        if len(bad) > MOSTLY_BAD * len(frame):
            raise DatasetError(
                f"{len(bad):,} of {len(frame):,} rows of {source} are bad, most for '{counts.index[0]}'. "
                "Check that the mapping names the right column and that its values are what docs/data.md says."
            )
        kept: pd.DataFrame = frame.drop(index=bad.index)
        return kept


def _read_table(mapping: Mapping, section: str, columns: dict[str, str]) -> pd.DataFrame:
    """The file of a section with Tandem's column names; `columns` maps Tandem's name to the file's."""
    spec = getattr(mapping, section)
    path = mapping.folder / spec["file"]
    if not path.is_file():
        raise DatasetError(f"[{section}] of {mapping.path} names {path}, which does not exist.")
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            ids = {columns[c]: "str" for c in ("user_id", "item_id") if c in columns}
            frame = pd.read_csv(path, dtype=ids, keep_default_na=True, on_bad_lines="warn", low_memory=False)
    except pd.errors.EmptyDataError as error:
        raise DatasetError(f"{path} is empty: it needs a header line and rows.") from error
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, ValueError) as error:
        raise DatasetError(f"{path} can't be read as {path.suffix.lstrip('.')}: {error}.") from error
    for ours, theirs in columns.items():
        if theirs not in frame.columns:
            raise DatasetError(
                f"{path} has no column '{theirs}' (its columns: {', '.join(map(str, frame.columns[:12]))}). "
                f"Set {ours} in [{section}] of {mapping.path} to the column that holds it."
            )
    if frame.empty:
        raise DatasetError(f"{path} has a header but no rows.")
    return frame.rename(columns={theirs: ours for ours, theirs in columns.items()})


def _read_interactions(mapping: Mapping, ward: Quarantine) -> pd.DataFrame:
    optional = [c for c in ("event_type", "value") if c in mapping.interactions]
    columns = {c: mapping.interactions[c] for c in ("user_id", "item_id", "timestamp", *optional)}
    frame = _read_table(mapping, "interactions", columns)[list(columns)]
    frame["timestamp"] = _seconds(frame["timestamp"])
    if "event_type" in frame:
        frame["event_type"] = frame["event_type"].fillna(DEFAULT_EVENT).astype("str")
    else:
        frame["event_type"] = DEFAULT_EVENT
    schema = pa.DataFrameSchema(
        {
            "user_id": pa.Column(checks=_filled(), nullable=False),
            "item_id": pa.Column(checks=_filled(), nullable=False),
            "timestamp": pa.Column(float, pa.Check.ge(0, error="not a time"), nullable=False),
        }
    )
    good = ward.sift("interactions", frame, schema, str(mapping.folder / mapping.interactions["file"]))
    good = good.assign(user_id=_ids(good["user_id"]), item_id=_ids(good["item_id"]))
    return good.sort_values("timestamp", kind="stable", ignore_index=True)


def _read_items(mapping: Mapping, ward: Quarantine) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if not mapping.items:
        return pd.DataFrame({"item_id": pd.Series(dtype="str")}), ()
    spec = mapping.items
    columns = {c: spec[c] for c in ("item_id", "title", "categories", "available") if c in spec}
    extra = [*spec.get("categorical", []), *spec.get("numeric", [])]
    frame = _read_table(mapping, "items", columns | {c: c for c in extra})
    schema = pa.DataFrameSchema(
        {
            "item_id": pa.Column(
                checks=[_filled(), pa.Check(lambda s: ~s.duplicated(), error="seen before")], nullable=False
            )
        }
    )
    good = ward.sift("items", frame, schema, str(mapping.folder / spec["file"])).reset_index(drop=True)
    good = good.assign(item_id=_ids(good["item_id"]))
    if "categories" in good:
        separator = spec.get("separator", "|")
        good["categories"] = [
            [part for part in value.split(separator) if part] if isinstance(value, str) else []
            for value in good["categories"]
        ]
    for column in spec.get("numeric", []):
        good[column] = pd.to_numeric(good[column], errors="coerce")
    if "available" in good:
        good["available"] = ~good["available"].astype("str").str.lower().isin({"false", "0", "no", "0.0"})
    content = tuple(c for c in ("categories", *extra) if c in good)
    kept = [c for c in ("item_id", "title", "available", *content) if c in good]
    return good[kept], content


def _read_users(mapping: Mapping, ward: Quarantine) -> pd.DataFrame:
    if not mapping.users:
        return pd.DataFrame({"user_id": pd.Series(dtype="str")})
    extra = mapping.users.get("categorical", [])
    frame = _read_table(mapping, "users", {"user_id": mapping.users["user_id"]} | {c: c for c in extra})
    schema = pa.DataFrameSchema(
        {
            "user_id": pa.Column(
                checks=[_filled(), pa.Check(lambda s: ~s.duplicated(), error="seen before")], nullable=False
            )
        }
    )
    good = ward.sift("users", frame, schema, str(mapping.folder / mapping.users["file"])).reset_index(drop=True)
    return good.assign(user_id=_ids(good["user_id"]))[["user_id", *extra]]


def _filled() -> pa.Check:
    return pa.Check(lambda s: s.notna() & (s.astype("str").str.strip() != ""), error="empty", ignore_na=False)


def _seconds(column: pd.Series) -> pd.Series:
    """Unix seconds from numbers (seconds, milliseconds or microseconds) or date strings; NaN where neither."""
    numbers = pd.to_numeric(column, errors="coerce") if not pd.api.types.is_datetime64_any_dtype(column) else None
    if numbers is not None and numbers.notna().sum() * 2 >= len(column):
        largest = float(numbers.quantile(0.5)) if len(numbers) else 0.0
        scale = 1e6 if largest > 1e14 else 1e3 if largest > 1e11 else 1.0
        return numbers.astype("float64") / scale
    moments = pd.to_datetime(column, errors="coerce", utc=True, format="mixed")
    seconds = (moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return seconds.astype("float64")


def _ids(column: pd.Series) -> pd.Series:
    """Ids as they came: integers where every one is a plain integer, strings otherwise."""
    if pd.api.types.is_integer_dtype(column):
        return column.astype("int64")
    text = column.astype("str")
    if text.str.fullmatch(r"0|-?[1-9][0-9]{0,17}").all():
        return text.astype("int64")
    return text
