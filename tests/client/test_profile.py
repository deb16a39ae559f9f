"""The key file: private, never overwritten, refused when damaged."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from client.errors import ProfileError
from client.profile import Identity, Profile

FINGERPRINT = "0f" * 32


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    profile = Profile(tmp_path / "somebody")
    profile.create(Identity.generate("somebody-12", "http://keyholder.test", FINGERPRINT))
    profile.keep_session("a-token", "a-device")
    return profile


@pytest.fixture
def key_file(profile: Profile) -> Path:
    return profile.folder / "collector.json"


def test_what_was_written_is_read(profile: Profile) -> None:
    one, other = profile.identity(), Profile(profile.folder).identity()
    assert one.key.thumbprint == other.key.thumbprint
    assert (one.id_key, one.login, one.fingerprint) == (other.id_key, "somebody-12", FINGERPRINT)
    assert (profile.token(), profile.device()) == ("a-token", "a-device")
    profile.forget_token()
    assert (profile.token(), profile.device()) == (None, "a-device")


def test_nobody_else_can_read_it(profile: Profile) -> None:
    assert stat.S_IMODE(profile.folder.stat().st_mode) == 0o700
    for path in profile.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(profile: Profile) -> None:
    before = profile.identity().key.thumbprint
    with pytest.raises(ProfileError, match="holds a collector's key already"):
        profile.create(Identity.generate("other-34", "http://keyholder.test", FINGERPRINT))
    assert profile.identity().key.thumbprint == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_can_read_is_refused(
    profile: Profile, key_file: Path, mode: int
) -> None:
    key_file.chmod(mode)
    with pytest.raises(ProfileError, match="chmod 600"):
        profile.identity()
    (profile.folder / "session.json").chmod(mode)
    with pytest.raises(ProfileError, match="chmod 600"):
        profile.token()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"key": "AAAA"},
        {"key": "A" * 43},
        {"id_key": "AAAA"},
        {"fingerprint": "0f"},
        {"login": ""},
        {"keyholder_url": None},
    ],
)
def test_a_damaged_file_is_refused(
    profile: Profile, key_file: Path, change: dict[str, object]
) -> None:
    key_file.write_text(json.dumps(json.loads(key_file.read_text()) | change))
    with pytest.raises(ProfileError, match="damaged"):
        profile.identity()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_file_that_is_no_key_file_is_refused(
    profile: Profile, key_file: Path, content: str
) -> None:
    key_file.write_text(content)
    with pytest.raises(ProfileError, match="damaged"):
        profile.identity()


def test_a_missing_profile_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="Register one first"):
        Profile(tmp_path / "nobody").identity()


def test_keys_do_not_show_in_messages(profile: Profile) -> None:
    identity = profile.identity()
    assert repr(identity) == "Identity"
    assert identity.key.to_bytes().hex() not in repr(identity.key)
