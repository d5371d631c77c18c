"""A file of keys as the command makes it."""

from service.auth import editing, key
from service.auth.keyring import Told


class Keys:
    """A file of keys, and the texts of those in it by name."""

    def __init__(self, path):
        self.path = path
        self.texts = {}

    def add(self, name, scopes, **more):
        new = key.made()
        told = {"id": new.id, "name": name, "sha256": new.sha256, "scopes": scopes.split(",")}
        editing.add(self.path, Told.model_validate(told | more))
        self.texts[name] = new.text
        return new.text
