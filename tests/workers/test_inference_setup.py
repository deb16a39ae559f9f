"""The inference worker's keys and its view of the manifest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from config import ConfigurationError, InferenceConfig, KeyholderConfig
from crypto.encoding import unb64u
from crypto.jws import SigningKey, fingerprint
from tests.workers.conftest import World
from workers.inference import init, manifest
from workers.inference.manifest import ManifestSource, ManifestUnavailable
from workers.inference.secrets import InferenceSecrets


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InferenceConfig:
    monkeypatch.setenv("HUSHBEAT_HOME", str(tmp_path))
    return InferenceConfig.from_environment()


def test_the_keys_are_made_once_and_are_private(config: InferenceConfig) -> None:
    init.main()
    published = json.loads(config.public_file.read_text())
    files = sorted(config.secrets.iterdir())
    before = [file.read_bytes() for file in files]
    assert len(files) == 2
    assert config.secrets.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    init.main()
    assert [file.read_bytes() for file in files] == before
    assert json.loads(config.public_file.read_text()) == published


def test_the_public_halves_are_published(config: InferenceConfig) -> None:
    init.main()
    published = json.loads(config.public_file.read_text())
    secrets = InferenceSecrets.load(config)
    assert unb64u(published["sealing"]["public"]) == secrets.sealing_key.public
    assert published["report_key"] == secrets.report_key.public_jwk
    assert secrets.sealing_key.to_bytes().hex() not in config.public_file.read_text()
    assert repr(secrets) == "InferenceSecrets"


def test_keys_that_are_missing_or_readable_by_others_are_refused(config: InferenceConfig) -> None:
    with pytest.raises(ConfigurationError, match=r"workers\.inference\.init"):
        InferenceSecrets.load(config)
    init.main()
    next(config.secrets.iterdir()).chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        InferenceSecrets.load(config)


@pytest.fixture
def serve(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], ManifestSource]:
    """A manifest source that talks to the real role B of `world`."""

    def get(url: str, timeout: float) -> httpx.Response:
        with httpx.Client(transport=world.switch, base_url="http://b") as client:
            return client.get(url)

    monkeypatch.setattr(manifest.httpx, "get", get)
    pinned = KeyholderConfig.from_environment({"HUSHBEAT_HOME": str(world.home)})
    return lambda: ManifestSource("http://b", pinned.fingerprint_file)


def test_the_manifest_is_verified_and_kept_for_a_while(
    world: World, serve: Callable[[], ManifestSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = serve()
    assert source.current().active_key == world.key
    source.current()
    assert len(world.switch.asked) == 1
    later = time.monotonic() + manifest.KEEP_SECONDS + 1
    monkeypatch.setattr(manifest.time, "monotonic", lambda: later)
    source.current()
    assert len(world.switch.asked) == 2


def test_a_key_holder_that_does_not_answer(
    world: World, serve: Callable[[], ManifestSource]
) -> None:
    world.switch.off = {"/v1/manifest"}
    with pytest.raises(ManifestUnavailable, match="does not serve"):
        serve().current()


def test_a_manifest_under_another_key_than_the_pinned_one(
    world: World, serve: Callable[[], ManifestSource]
) -> None:
    path = world.home / "public" / "keyholder-fingerprint"
    path.write_text(fingerprint(SigningKey.generate().public_jwk))
    with pytest.raises(ManifestUnavailable, match="another key"):
        serve().current()
    path.unlink()
    with pytest.raises(ManifestUnavailable, match="cannot be read"):
        serve().current()
