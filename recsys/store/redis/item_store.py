"""The Redis store for items that are added or changed after training, through PUT /items.

| key | type | holds |
|---|---|---|
| items:epoch | string | a random number and the server's replication id, of the first put after a start or failover |
| items:next | string | the last seq; the first of an epoch is random too, so that two epochs share no seq |
| items:version | string | the number of puts |
| items:changed | zset | ids by the version of their last put |
| items:hidden | set | ids of items of which nothing but the availability was put |
| item:{item_id} | hash | seq, version, at; and id, title, available, content:{column}, each as "time JSON" |

The keys expire ITEMS_EXPIRE after the last put, each item after its own last put. Times are of the store's clock.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

import redis

from recsys.errors import StoreError
from recsys.fresh_items.put_items import CAPACITY, HIDING_CAPACITY, ITEMS_EXPIRE, Put, PutItem, PutItems
from recsys.store.key_names import text_of
from recsys.store.redis.connection import async_client, retry_once, sync_client, translated_errors
from recsys.store.redis.scripts import FORGET_ITEMS, PUT_ITEMS
from recsys.store.redis.store_address import address
from recsys.types import Id

ITEMS_CHANNEL = "items"
"""The channel on which a put is announced by its version. Messages can get lost: poll as well."""

_SECONDS = 1.0
"""The limit of a connect and of a reply."""

_READ_AT_ONCE = 500
"""Items in one pipeline: some hundred kilobytes, and a millisecond of the store's time."""

FIRST_SEQ = 1 << 30
"""The limit of the random first seq of an epoch. Row numbers of 32 bits leave room for a billion new items above it."""

_EPOCH, _NEXT, _VERSION, _CHANGED = "items:epoch", "items:next", "items:version", "items:changed"
_HIDDEN = "items:hidden"
_FORGET_AT_ONCE = CAPACITY
"""Items in one script, which blocks the store."""

_CONTENT = "content:"


class RedisItemReader:
    """Reads items of PUT /items, for one thread. Every call but `wait` raises StoreUnavailable without a store."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self._redis = sync_client(url, _SECONDS, _SECONDS, retry=retry_once())
        self._subscription: redis.client.PubSub | None = None

    def changes(self, known: PutItems) -> PutItems:
        """Return all items, given the ones known already; `known` itself if nothing changed or nothing is stored."""
        with translated_errors(self.address):
            current: Any = self._redis.mget(_EPOCH, _VERSION)
            if None in current:
                return known  # nothing was put, or the store was emptied: the known items are the newest there are
            epoch, version = current[0].decode(), int(current[1])
            if (epoch, version) == (known.epoch, known.version):
                return known
            if epoch != known.epoch or version < known.version:  # a failover may have lost known puts
                return PutItems().joined(self._since(0), epoch, version)
            joined = known.joined(self._since(known.version), epoch, version)
            if len(joined) > int(self._redis.zcard(_CHANGED)):
                return PutItems().joined(self._since(0), epoch, version)  # known items were deleted
            return joined

    def wait(self, seconds: float, calm: float) -> bool:
        """Return True as soon as a put is announced or an announcement may have been missed.

        Returns False after `calm` seconds without an announcement; after `seconds` if announcements can't be received.
        """
        start = time.monotonic()
        try:
            if self._subscription is None:
                subscription = self._redis.pubsub()
                subscription.subscribe(ITEMS_CHANNEL)
                self._subscription = subscription
            while (left := start + calm - time.monotonic()) > 0:
                # The confirmation of a subscription counts too: announcements before it were missed. redis-py
                # subscribes again by itself after a dropped connection.
                if self._subscription.get_message(timeout=left) is not None:
                    while self._subscription.get_message(timeout=0) is not None:
                        pass  # one read of the changes covers all announcements
                    return True
        except (redis.RedisError, OSError):
            # No store, or no right to subscribe: polling serves both.
            self._unsubscribe()
            time.sleep(max(0.0, start + seconds - time.monotonic()))
        return False

    def close(self) -> None:
        """Close all connections."""
        self._unsubscribe()
        self._redis.close()

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                self._subscription.close()
        self._subscription = None

    def _since(self, version: int) -> Iterator[PutItem]:
        """The readable items that were put after a version."""
        ids: Any = self._redis.zrangebyscore(_CHANGED, f"({version}", "+inf")
        for start in range(0, len(ids), _READ_AT_ONCE):
            with self._redis.pipeline(transaction=False) as pipe:
                for text in ids[start : start + _READ_AT_ONCE]:
                    pipe.hgetall(_item_key(text))
                for raw in pipe.execute(raise_on_error=False):
                    if isinstance(raw, dict) and (item := _parse_item(raw)) is not None:
                        yield item


class RedisItemWriter:
    """Adds, changes and deletes items for PUT /items, for one event loop; SettingsError for a malformed `url`."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        # No retry: a put that was done and is sent again would count, and be announced, twice.
        self._redis = async_client(url, _SECONDS, _SECONDS, retries=0)

    async def put(self, puts: Sequence[Put]) -> bool:
        """Put all items or none; of several puts of one id the last counts. False if there is no room.

        There is room for CAPACITY items. Items that are only hidden or shown again may use the room up to
        HIDING_CAPACITY.
        """
        if not puts:
            return True
        texts = [text_of(put.item_id) for put in puts]
        values: list[bytes | str | int] = []
        for text, put in zip(texts, puts, strict=True):
            fields = stored_fields(put)
            values += [text, len(fields), *(part for name, value in fields.items() for part in (name, value))]
        keys = [_EPOCH, _NEXT, _VERSION, _CHANGED, _HIDDEN, *map(_item_key, texts)]
        limits = [secrets.randbelow(FIRST_SEQ), CAPACITY, HIDING_CAPACITY, ITEMS_EXPIRE, ITEMS_CHANNEL]
        return bool(await self._run(PUT_ITEMS, keys, [*limits, *values]))

    async def forget(self, items: Sequence[PutItem]) -> None:
        """Delete items that were not put again since."""
        for start in range(0, len(items), _FORGET_AT_ONCE):
            some = items[start : start + _FORGET_AT_ONCE]
            texts = [text_of(item.text) for item in some]
            values = [part for text, item in zip(texts, some, strict=True) for part in (text, item.version)]
            await self._run(FORGET_ITEMS, [_VERSION, _CHANGED, _HIDDEN, *map(_item_key, texts)], values)

    async def read(self, item_id: Id) -> PutItem | None:
        """Return an item that was put, None if it was not."""
        with translated_errors(self.address):
            raw: Any = await self._redis.hgetall(_item_key(text_of(item_id)))
            return _parse_item(raw)

    async def remove(self, item_id: Id) -> bool:
        """Delete an item, and return whether there was one."""
        text = text_of(item_id)
        return bool(await self._run(FORGET_ITEMS, [_VERSION, _CHANGED, _HIDDEN, _item_key(text)], [text, ""]))

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    async def _run(self, script: str, keys: Sequence[Any], values: Sequence[Any]) -> Any:
        with translated_errors(self.address):
            try:
                return await self._redis.eval(script, len(keys), *keys, *values)
            except redis.exceptions.NoPermissionError as error:
                raise StoreError(f"The Redis user of this service may not put items: {error}.") from error


def stored_fields(put: Put) -> dict[str, str]:
    """The fields that a put sets, as JSON, with the id in its original type."""
    fields: dict[str, object] = {"id": put.item_id}
    if put.title is not None:
        fields["title"] = put.title
    if put.available is not None:
        fields["available"] = put.available
    fields |= {f"{_CONTENT}{column}": value for column, value in put.content.items()}
    return {name: json.dumps(value, separators=(",", ":")) for name, value in fields.items()}


def _item_key(text: bytes) -> bytes:
    return b"item:" + text


def _parse_item(raw: dict[bytes, bytes]) -> PutItem | None:
    """A stored item; None if it can't be read."""
    try:
        times, values = {}, {}
        for name, value in raw.items():
            if name not in (b"seq", b"version", b"at"):
                moment, _, text = value.partition(b" ")
                times[name.decode()], values[name.decode()] = float(moment), json.loads(text)
        title = values.get("title")
        return PutItem(
            item_id=values["id"],
            seq=int(raw[b"seq"]),
            version=int(raw[b"version"]),
            put_at=float(raw[b"at"]),
            title=None if title is None else str(title),
            title_at=times.get("title", 0.0),
            available=bool(values.get("available", True)),
            available_at=times.get("available", 0.0),
            content={k.removeprefix(_CONTENT): v for k, v in values.items() if k.startswith(_CONTENT)},
        )
    except (ValueError, KeyError, RecursionError):
        return None
