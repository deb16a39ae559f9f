"""`make run LAN=...`: both roles by TLS, checked with the home's own certificate authority."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from client.errors import Unreachable
from crypto.encoding import unb64u
from deploy.local import network
from deploy.local.certificates import CertificateFiles
from deploy.local.run import main
from deploy.local.system import CannotStart, LocalSystem
from tests.support.fixtures import FAST
from tests.support.launch import LAUNCHER
from tests.support.servers import free_port
from tests.system.samples import BOTH, counted
from tests.system.ward import Ward, collector

ADDRESS = "127.0.0.2"


def _system(home: Path, lan: str | None) -> LocalSystem:
    return LocalSystem(
        home,
        port=free_port(),
        keyholder_port=free_port(),
        lan=lan,
        environment=FAST,
        python=LAUNCHER,
    )


def _urls_of_manifest(system: LocalSystem, http: httpx.Client) -> tuple[str, str]:
    answer = http.get(f"{system.keyholder_url}/v1/manifest").raise_for_status()
    manifest = json.loads(unb64u(answer.json()["manifest"].split(".")[1]))
    return manifest["aggregator_url"], manifest["keyholder_url"]


def test_a_recording_is_counted_over_tls_and_the_home_goes_back_to_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    files = CertificateFiles(home)
    with _system(home, ADDRESS) as system:
        assert system.aggregator_url.startswith(f"https://{ADDRESS}:")
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(system.aggregator_url)
        with pytest.raises(Unreachable):
            collector(system)

        monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
        with httpx.Client() as http:
            assert _urls_of_manifest(system, http) == (system.aggregator_url, system.keyholder_url)
            page = http.get(f"{system.aggregator_url}/login")
        assert page.status_code == 200
        assert "max-age" in page.headers["Strict-Transport-Security"]
        assert all("; Secure" in cookie for cookie in page.headers.get_list("set-cookie"))
        assert page.headers.get_list("set-cookie")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(system.aggregator_url.replace("https", "http")).raise_for_status()

        ward = Ward.open(system)
        with ward.collector:
            ward.upload([counted(BOTH, 0)])
            ward.check()
    made = {path: path.read_bytes() for path in home.rglob("*.pem")}
    assert set(made) == {files.authority, files.authority_secret, files.server}

    with _system(home, None) as system, httpx.Client() as http:
        assert system.aggregator_url.startswith("http://127.0.0.1:")
        assert _urls_of_manifest(system, http) == (system.aggregator_url, system.keyholder_url)
        assert "Strict-Transport-Security" not in http.get(system.aggregator_url).headers

    files.provide(ADDRESS, network.host_names(), network.addresses())
    assert {path: path.read_bytes() for path in home.rglob("*.pem")} == made


def test_a_name_of_another_machine_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CannotStart, match=r"198\.51\.100\.77 does not lead to this machine"):
        _system(tmp_path / "home", "198.51.100.77").start()
    ports = ["--port", str(free_port()), "--keyholder-port", str(free_port())]
    assert main(["--home", str(tmp_path / "home"), "--lan", "clinic.invalid", *ports]) == 1
    assert "clinic.invalid does not lead to this machine" in capsys.readouterr().err
    assert not (tmp_path / "home" / "tls").exists()
