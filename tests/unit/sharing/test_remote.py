"""Which remote a transfer is with."""

import pytest

from dasbench.errors import UserError
from dasbench.sharing import remote


@pytest.fixture
def settings(monkeypatch):
    """DVC's configuration, made up."""
    values = {"remote.my.store.url": "/store", "remote.web.url": "https://a:b@host/das"}
    monkeypatch.setattr(remote, "_settings", lambda: values)
    monkeypatch.setattr(remote, "_reach", lambda found: None)
    return values


@pytest.mark.parametrize("flags", [["-r", "web"], ["--remote=web"], ["-j", "4", "-rweb"]])
def test_flags_name_the_remote(settings, flags):
    assert remote.find_remote(flags, "").url == "https://a:b@host/das"


def test_no_password_is_shown(settings):
    assert str(remote.find_remote(["-r", "web"], "")) == "web (https://host/das)"


def test_the_endpoint_answers_for_s3(settings):
    settings.update({"remote.web.endpointurl": "http://minio"})
    assert remote.find_remote(["-r", "web"], "").address == "http://minio"


def test_remotes_that_are_none(settings):
    with pytest.raises(UserError, match=r"as default \(my.store, web can be named with -r\); do X"):
        remote.find_remote([], "do X")
    with pytest.raises(UserError, match="nix is no DVC remote; known: my.store, web"):
        remote.find_remote(["-r", "nix"], "")
