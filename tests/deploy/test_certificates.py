"""The local certificate authority: what it may sign, what is made once, what is renewed."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from datetime import UTC, datetime, tzinfo
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from app.common.secret_files import SecretFileError
from deploy.local import certificates, tls_server
from deploy.local.certificates import CertificateFiles, CertificateProblem

NAMES = ["ward", "ward.local"]


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    made = CertificateFiles(tmp_path)
    made.provide("192.168.7.20", NAMES, ["127.0.0.1", "192.168.7.20", "10.1.2.3", "198.51.100.9"])
    return made


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _names(path: Path) -> set[str]:
    present = _read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in present}


def _days(certificate: x509.Certificate) -> int:
    return (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days


def _set_clock(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """From now on the module's clock is that many days ahead."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Later:
            return cls.fromtimestamp(datetime.now(tz).timestamp() + days * 86_400, tz)

    monkeypatch.setattr(certificates, "datetime", Later)


def test_the_authority_signs_for_this_machine_and_no_other(files: CertificateFiles) -> None:
    authority = _read(files.authority)
    assert isinstance(authority.public_key(), ec.EllipticCurvePublicKey)
    assert _days(authority) == 3650
    extensions = authority.extensions
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    constraints = extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = [name.value for name in constraints.value.permitted_subtrees or ()]
    assert [name for name in permitted if isinstance(name, str)] == ["localhost", "ward.local"]
    networks = [name for name in permitted if isinstance(name, IPv4Network)]
    assert len(networks) + 2 == len(permitted)
    assert not any(network.is_global for network in networks)


def test_the_server_certificate_names_this_machine(files: CertificateFiles) -> None:
    server = _read(files.server)
    assert _names(files.server) == {
        *("192.168.7.20", "10.1.2.3", "127.0.0.1", "localhost", "ward.local")
    }
    assert _days(server) == 398
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    server.verify_directly_issued_by(_read(files.authority))


def _handshake(files: CertificateFiles, server: Path, name: str) -> None:
    """A client that trusts the authority calls a server of this certificate by this name."""
    here, there = socket.socketpair()
    with here, there:
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ours.load_cert_chain(server)

        def serve() -> None:
            try:
                ours.wrap_socket(there, server_side=True).close()
            except OSError:
                there.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            theirs = ssl.create_default_context(cafile=str(files.authority))
            theirs.wrap_socket(here, server_hostname=name).close()
        finally:
            here.close()
            thread.join()


@pytest.mark.parametrize("name", ["192.168.7.20", "127.0.0.1", "localhost", "ward.local"])
def test_clients_accept_it_under_each_name(files: CertificateFiles, name: str) -> None:
    _handshake(files, files.server, name)


@pytest.mark.parametrize("name", ["bank.example", "198.51.100.9", "ward", "2001:db8::1"])
def test_clients_refuse_what_a_stolen_key_signs(
    files: CertificateFiles, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, authority = certificates._load(files.authority_secret.read_bytes(), files.authority)
    if ":" in name:
        monkeypatch.setattr(
            certificates, "_general_name", lambda _: x509.IPAddress(ip_address(name))
        )
    forged = tmp_path / "forged.pem"
    forged.write_bytes(certificates._new_server(key, authority, [name], datetime.now(UTC)))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        _handshake(files, forged, name)


def test_keys_are_for_the_owner_alone(files: CertificateFiles) -> None:
    modes = {
        path.name: path.stat().st_mode & 0o777
        for path in (
            files.authority,
            files.authority_secret,
            files.server,
            files.server.parent,
        )
    }
    assert modes == {
        "hushbeat-ca.pem": 0o644,
        "authority.pem": 0o600,
        "server.pem": 0o600,
        "tls": 0o700,
    }
    assert b"PRIVATE" not in files.authority.read_bytes()
    files.authority_secret.chmod(0o640)
    with pytest.raises(SecretFileError):
        files.provide("192.168.7.20", NAMES)


def test_a_second_time_everything_is_reused(files: CertificateFiles) -> None:
    before = {path: path.read_bytes() for path in files.home.rglob("*.pem")}
    files.authority.unlink()
    files.provide("10.1.2.3", NAMES, ["192.168.7.20", "127.0.0.1"])
    assert {path: path.read_bytes() for path in files.home.rglob("*.pem")} == before


@pytest.mark.parametrize(("days", "renewed"), [(366, False), (368, True), (800, True)])
def test_it_is_renewed_in_time(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch, days: int, renewed: bool
) -> None:
    server, authority = files.server.read_bytes(), files.authority.read_bytes()
    _set_clock(monkeypatch, days)
    files.provide("192.168.7.20", NAMES, ["10.1.2.3"])
    assert (files.server.read_bytes() != server) is renewed
    assert files.authority.read_bytes() == authority


def test_other_names_make_another_certificate_of_the_same_authority(
    files: CertificateFiles,
) -> None:
    authority = files.authority.read_bytes()
    files.provide("192.168.99.1", NAMES)
    assert _names(files.server) == {"192.168.99.1", "127.0.0.1", "localhost", "ward.local"}
    assert files.authority.read_bytes() == authority
    _read(files.server).verify_directly_issued_by(_read(files.authority))
    files.provide("192.168.99.1")
    assert _names(files.server) == {"192.168.99.1", "127.0.0.1", "localhost"}


def test_an_address_outside_is_signed_only_if_the_authority_was_made_for_it(
    files: CertificateFiles, tmp_path: Path
) -> None:
    for shown in ("198.51.100.9", "other.local", "xward.local"):
        with pytest.raises(CertificateProblem, match=f"may not sign for {shown}.*remove"):
            files.provide(shown, NAMES)
    with pytest.raises(CertificateProblem, match=r"below clinic.*clinic\.local"):
        CertificateFiles(tmp_path / "word").provide("clinic")
    other = CertificateFiles(tmp_path / "other")
    other.provide("198.51.100.9")
    constraints = _read(other.authority).extensions.get_extension_for_class(x509.NameConstraints)
    assert x509.IPAddress(IPv4Network("198.51.100.9/32")) in (
        constraints.value.permitted_subtrees or ()
    )
    _handshake(other, other.server, "198.51.100.9")


def test_an_authority_that_ends_or_is_broken_is_told(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ahead:
        _set_clock(ahead, 3650 - 20)
        with pytest.raises(CertificateProblem, match="Check the clock"):
            files.provide("192.168.7.20", NAMES)
    files.server.write_bytes(b"broken")
    files.provide("192.168.7.20", NAMES)
    _handshake(files, files.server, "192.168.7.20")
    files.authority_secret.write_bytes(b"broken")
    with pytest.raises(CertificateProblem, match="holds no certificate authority"):
        files.provide("192.168.7.20", NAMES)


def test_the_fingerprint_is_what_browsers_show(files: CertificateFiles) -> None:
    der = ssl.PEM_cert_to_DER_cert(files.authority.read_text())
    digest = hashlib.sha256(der).hexdigest().upper()
    pairs = [digest[i : i + 2] for i in range(0, 64, 2)]
    assert files.fingerprint() == ":".join(pairs)


def test_a_handshake_has_a_deadline(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_server, "HANDSHAKE_SECONDS", 0.2)

    def default() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.server)
        return context

    context = tls_server.ssl_context(None, default)
    here, there = socket.socketpair()
    with here, there:
        here.sendall(b"\x16")
        with pytest.raises(ConnectionResetError):
            context.wrap_socket(there, server_side=True)
