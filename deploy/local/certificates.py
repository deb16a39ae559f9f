"""The local certificate authority, and the certificate of this machine that it signs.

Browsers give WebCrypto to https and localhost only, so a clinic's network needs TLS without a
public name. Whoever trusts the authority trusts the holder of its key for every name that it may
sign. That is why its certificate names them, as critical constraints: this machine's names and the
IPv4 addresses that are never on the public internet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.common.secret_files import publish, read_or_create, read_secret

AUTHORITY_TIME = timedelta(days=3650)
SERVER_TIME = timedelta(days=398)
"""The longest that browsers take of any certificate."""
RENEW_BEFORE = timedelta(days=30)
PRIVATE_NETWORKS = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
)
"""Loopback, private (RFC 1918) and link-local (RFC 3927) addresses."""

# Clocks of phones that are a little slow.
_BACKDATED = timedelta(days=1)


class CertificateProblem(Exception):
    """The authority cannot be used for this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificates of a home lie; `provide` makes them."""

    home: Path

    @property
    def authority(self) -> Path:
        """The authority's certificate alone, to be trusted by others."""
        return self.home / "public" / "hushbeat-ca.pem"

    @property
    def authority_secret(self) -> Path:
        """The authority's key and certificate."""
        return self.home / "tls" / "authority.pem"

    @property
    def server(self) -> Path:
        """This machine's key and certificate, as gunicorn reads them."""
        return self.home / "tls" / "server.pem"

    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, as phones and browsers show it."""
        certificate = x509.load_pem_x509_certificate(self.authority.read_bytes())
        return certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def provide(self, shown: str, names: Sequence[str] = (), addresses: Sequence[str] = ()) -> None:
        """Make the authority once, and a server certificate when there is no fitting one.

        Parameters
        ----------
        shown : the name or IPv4 address of this machine in the URLs.
        names : its other names; a new authority may sign for them and whatever is below them, so
            those of one word are left out: there are public domains named dev, clinic and box.
        addresses : its other IPv4 addresses; the certificate names the private ones.

        Raises CertificateProblem if the authority may not sign for `shown` or is not valid today;
        SecretFileError if others can read a key.
        """
        now = datetime.now(UTC)
        if not _is_narrow(shown):
            raise CertificateProblem(
                f"The authority would have to sign for every name below {shown}, which may be a "
                f"public domain. Use the machine's address or {shown}.local."
            )
        names = ["localhost", *filter(_is_narrow, names)]
        pem = read_or_create(self.authority_secret, lambda: _new_authority(shown, names, now))
        key, authority = _load(pem, self.authority_secret)
        if not authority.not_valid_before_utc <= now < authority.not_valid_after_utc - RENEW_BEFORE:
            raise CertificateProblem(
                f"The certificate authority in {self.authority_secret} is for the time from "
                f"{authority.not_valid_before_utc:%Y-%m-%d} to "
                f"{authority.not_valid_after_utc - RENEW_BEFORE:%Y-%m-%d}. Check the clock, "
                f"{_OR_ANEW}"
            )
        publish(self.authority, _pem(authority))
        if not _may_sign(authority, shown):
            raise CertificateProblem(
                f"The certificate authority in {self.authority_secret} may not sign for {shown}: "
                f"it was made for other names. Use one of them, {_OR_ANEW}"
            )
        wanted = dict.fromkeys([shown, *names, "127.0.0.1", *addresses])
        names = [name for name in wanted if _may_sign(authority, name)]
        if not self._fits(authority, names, now):
            self.server.unlink(missing_ok=True)
            read_or_create(self.server, lambda: _new_server(key, authority, names, now))

    def _fits(self, authority: x509.Certificate, names: Sequence[str], now: datetime) -> bool:
        """Whether there is a certificate of these names that stays valid for a while."""
        try:
            server = x509.load_pem_x509_certificate(read_secret(self.server))
            server.verify_directly_issued_by(authority)
        except (FileNotFoundError, ValueError, InvalidSignature):
            return False
        present = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return set(present) == {_general_name(name) for name in names} and (
            server.not_valid_before_utc <= now < server.not_valid_after_utc - RENEW_BEFORE
        )


_OR_ANEW = (
    "or remove that file to have a new authority made, which every phone and computer must be "
    "told to trust again."
)


def _new_authority(shown: str, names: Sequence[str], now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    title = f"Hushbeat on {names[1] if len(names) > 1 else shown}"[:64]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    permitted: list[x509.GeneralName] = [
        x509.IPAddress(IPv4Network(network)) for network in PRIVATE_NETWORKS
    ]
    for name in dict.fromkeys([*names, shown]):
        match _general_name(name):
            case x509.IPAddress(value=IPv4Address() as address):
                if not any(address in IPv4Network(network) for network in PRIVATE_NETWORKS):
                    permitted.append(x509.IPAddress(IPv4Network(address)))
            case other:
                permitted.append(other)
    public = key.public_key()
    certificate = (
        _builder(subject, subject, public, now, now - _BACKDATED + AUTHORITY_TIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate, key)


def _new_server(
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    names: Sequence[str],
    now: datetime,
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    end = min(now - _BACKDATED + SERVER_TIME, authority.not_valid_after_utc)
    public = key.public_key()
    signer = authority_key.public_key()
    certificate = (
        _builder(subject, authority.subject, public, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return _pem(certificate, key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(end)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_narrow(name: str) -> bool:
    """Whether what is below the name belongs to its owner; localhost is nobody's (RFC 6761)."""
    return "." in name or name == "localhost"


def _may_sign(authority: x509.Certificate, name: str) -> bool:
    """Whether the constraints of the authority permit a name or address (RFC 5280, 4.2.1.10)."""
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    for permitted in constraints.permitted_subtrees or ():
        match permitted, _general_name(name):
            case x509.DNSName(value=above), x509.DNSName():
                if name == above or name.endswith(f".{above}"):
                    return True
            case x509.IPAddress(value=IPv4Network() as network), x509.IPAddress(value=address):
                if address in network:
                    return True
    return False


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(IPv4Address(name))
    except ValueError:
        return x509.DNSName(name)


def _load(pem: bytes, path: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        key = serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateProblem(f"{path} holds no certificate authority. Restore it, {_OR_ANEW}")
    return key, certificate


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    if key:
        pem += key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    return pem
