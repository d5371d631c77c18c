"""A deployment as a public port has it: whoever asks has a key, and what operators read is on a port of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from service.auth import key, key_editor
from service.auth.keyring import KeyRecord
from tests.chaos.load import Load
from tests.chaos.served import USERS, Pair, Served
from tests.deployment import free_port


class Keyed(Served):
    """Served with keys: its load has one, an attacker has none."""

    def __init__(self, folder: Path, pair: Pair, binary: Path | None = None, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        keys, made, port = folder / "keys.toml", key.generate(), free_port()
        told = {"id": made.id, "name": "others", "sha256": made.sha256, "scopes": ["read", "write", "admin"]}
        key_editor.add(keys, KeyRecord.model_validate(told | {"created": datetime.now(UTC)}))
        super().__init__(folder, pair, binary, TANDEM_KEYS=str(keys), TANDEM_ADMIN_PORT=str(port), **settings)
        self._port, self._headers = port, {"authorization": f"Bearer {made.text}"}

    @property
    def ports(self) -> set[int]:
        """All that it opens."""
        return super().ports | {self._port}

    def load(self, rate: float = 40.0) -> Load:
        """Requests to the deployment, with the key."""
        return Load(self.deployment.url, USERS, rate, self._headers)

    def status(self) -> dict[str, Any]:
        """What the deployment says of itself to its operator."""
        url = f"http://127.0.0.1:{self._port}/status"
        told: dict[str, Any] = httpx.get(url, headers=self._headers, timeout=10).json()
        return told
