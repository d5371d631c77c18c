"""A file of API keys for tests, as `python -m service keys add` writes it, and the text of each key."""

from service.auth import key, key_editor
from service.auth.keyring import KeyRecord


class IssuedKeys:
    """A file of keys, and the text of each issued key by name."""

    def __init__(self, path):
        self.path = path
        self.texts = {}

    def add(self, name, scopes, **more):
        new = key.generate()
        record = {"id": new.id, "name": name, "sha256": new.sha256, "scopes": scopes.split(",")}
        key_editor.add(self.path, KeyRecord.model_validate(record | more))
        self.texts[name] = new.text
        return new.text
