"""Backends on other hosts: which URLs and roles the settings accept."""

import pytest

from recsys.environment import Environment
from recsys.errors import SettingsError
from service import serve
from service.settings import Settings


@pytest.mark.parametrize("url", ["ranking:3000", "https://ranking:3000", "http://", "http://a:99999", "http://a/b"])
def test_a_wrong_url_is_refused(url):
    """The sentence shows the form of a URL."""
    with pytest.raises(ValueError, match="write it as http://host:port"):
        Settings(ranking_url=url)


def test_inline_has_no_backend_elsewhere():
    """One of the two settings would have no effect."""
    with pytest.raises(SettingsError, match="TANDEM_TOPOLOGY=inline"):
        Settings(topology="inline", ranking_url="http://ranking:3000")


@pytest.mark.parametrize(
    ("role", "redis_url", "urls", "said"),
    [
        ("ranking", None, {}, "The role ranking needs REDIS_URL"),
        ("gateway", "redis://a", {"ranking_url": "http://b"}, "TANDEM_RETRIEVAL_URL and TANDEM_RANKING_URL"),
    ],
)
def test_a_role_without_what_it_needs_does_not_start(tmp_path, role, redis_url, urls, said):
    """The sentence names the setting."""
    with pytest.raises(SettingsError, match=said):
        serve.check(Settings(**urls), Environment(tmp_path, redis_url), role)


def test_the_url_of_redis_may_be_in_a_file(tmp_path, monkeypatch):
    """Containers receive secrets as files; a missing file stops the start, with its variable."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SettingsError, match="REDIS_URL_FILE"):
        Environment.read()
    (tmp_path / "url").write_text("redis://gateway:word@redis:6379/0\n")
    assert Environment.read().redis_url == "redis://gateway:word@redis:6379/0"
