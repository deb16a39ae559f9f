"""What a browser signs with a passkey against Python's reader, and the log that it reads back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from playwright.sync_api import Browser, Error, Page

from crypto.encoding import b64u, new_id, unb64u
from crypto.errors import BadSignature, Expired
from crypto.jws import thumbprint
from crypto.messages import LogEntry, LogKind, Opening
from crypto.messages.log import NOTHING
from crypto.webauthn import SESSION_SECONDS, KeyType, PinnedKey, origin_of, rp_id_of
from crypto.wire import to_record
from tests.browser.browsers import Complaints
from tests.browser.passkeys import WARNING, Authenticator
from tests.browser.test_browser_cryptography import run

COLLECTOR = "0736fd5b7cc7ab7dfe821d3a17f93f26"
OPENING = Opening(statement_sha256="0" * 64, jti="1" * 32)


@pytest.fixture
def site_by_name(site: str) -> str:
    """Passkeys are made for names, not for numbers."""
    return site.replace("127.0.0.1", "localhost")


@pytest.fixture
def named(browser: Browser, site_by_name: str, complaints: Complaints) -> Iterator[Page]:
    """The empty page under its name, where passkeys work."""
    complaints.allow(WARNING)
    context = browser.new_context()
    context.on("page", complaints.listen)
    page = context.new_page()
    page.goto(site_by_name)
    page.evaluate(
        """async () => {
            const { page } = await import("/static/js/page.js");
            page.passkeys = { rpId: location.hostname, origin: location.origin };
        }"""
    )
    yield page
    context.close()


_SIGN = """
    const { sign } = await import("/static/js/jws.js");
    const account = { login: "patient-a-00001", display_name: "Patient A" };
    const made = await m.makePasskey(account);
    const session = await m.newSession(made.credential, v.collector);
    const signer = { ...session, thumbprint: made.thumbprint };
    const token = await sign("hushbeat-opening", v.payload, signer);
    return { jwk: made.jwk, token, exp: session.exp };
"""


def signed(page: Page) -> dict[str, Any]:
    made: dict[str, Any] = run(
        page, "passkey", _SIGN, collector=COLLECTOR, payload=OPENING.to_payload()
    )
    return made


def pinned(made: dict[str, Any], site: str, **changes: Any) -> PinnedKey:
    key = PinnedKey(made["jwk"], COLLECTOR, KeyType.PASSKEY, rp_id_of(site), (origin_of(site),))
    return replace(key, **changes)


def test_what_a_passkeys_session_signs_the_servers_take(named: Page, site_by_name: str) -> None:
    Authenticator(named)
    made = signed(named)
    now = time.time()
    key = pinned(made, site_by_name)
    assert Opening.verify(made["token"], key, now) == OPENING
    assert now < made["exp"] <= now + SESSION_SECONDS
    with pytest.raises(Expired):
        Opening.verify(made["token"], key, made["exp"])
    for other in (
        replace(key, collector=new_id()),
        replace(key, origins=("https://hushbeat.example",)),
        replace(key, rp_id="hushbeat.example"),
        PinnedKey(made["jwk"], COLLECTOR),
    ):
        with pytest.raises(BadSignature):
            Opening.verify(made["token"], other, now)


def test_a_passkey_is_found_among_the_accounts_keys(named: Page) -> None:
    Authenticator(named)
    found = run(
        named,
        "passkey",
        """const account = { login: "patient-a-00001", display_name: "Patient A" };
        const mine = await m.makePasskey(account);
        const { jwk: stranger } = await (await import("/static/js/keys.js")).softwareKey();
        const { passkey } = await m.chosenPasskey(v.collector, [stranger, mine.jwk]);
        const refused = await m.chosenPasskey(v.collector, [stranger]).catch(({ code }) => code);
        return [mine, passkey, refused];""",
        collector=COLLECTOR,
    )
    mine, passkey, refused = found
    assert passkey == mine
    assert mine["thumbprint"] == thumbprint(mine["jwk"])
    assert refused == "passkey-foreign"


def test_two_passkeys_of_an_account_do_not_replace_each_other(named: Page) -> None:
    authenticator = Authenticator(named)
    first, second = signed(named), signed(named)
    assert first["jwk"] != second["jwk"]
    assert len(authenticator.credentials()) == 2


def test_what_the_authenticator_declines_has_a_text(named: Page) -> None:
    authenticator = Authenticator(named)
    authenticator.recognise(person=False)
    with pytest.raises(Error, match="passkey-declined"):
        signed(named)
    authenticator.recognise(person=True)
    signed(named)


@pytest.mark.parametrize("bits", [1, 8, 200, 248, 255, 256])
def test_signatures_of_every_length_are_read(blank: Page, bits: int) -> None:
    """r and s have leading zeros, or a zero byte in front, in some signatures only."""
    private = ec.generate_private_key(ec.SECP256R1())
    r, s = decode_dss_signature(private.sign(b"", ec.ECDSA(SHA256())))
    for one, other in ((r % 2**bits or 1, s), (r, s % 2**bits or 1), (2**bits - 1, 1)):
        raw = run(
            blank,
            "passkey",
            "return bytes.b64u(m.rawSignature(bytes.unb64u(v.der)));",
            der=b64u(encode_dss_signature(one, other)),
        )
        assert unb64u(raw) == one.to_bytes(32, "big") + other.to_bytes(32, "big")


def test_signatures_that_are_none_are_refused(blank: Page) -> None:
    good = encode_dss_signature(1 << 250, 1 << 251)
    bad = [b"", good[:-1], good + b"\0", b"\x31" + good[1:], good[:2] + b"\x03" + good[3:]]
    bad.append(encode_dss_signature(1 << 257, 1))
    for der in bad:
        with pytest.raises(Error, match="bad-message"):
            run(blank, "passkey", "m.rawSignature(bytes.unb64u(v.der));", der=b64u(der))


# The log


def history() -> list[LogEntry]:
    """Three entries of one owner, others' between them."""
    entries: list[LogEntry] = []
    for seq, kind in ((1, LogKind.ENROLMENT), (4, LogKind.GRANT), (9, LogKind.TALLY)):
        entries.append(
            LogEntry(
                seq=seq,
                at=1_767_225_600,
                pseudonym=COLLECTOR,
                actor=COLLECTOR,
                thumbprint="jY82j9ch7vYK5QARJEbBM0dxzNGA0BQB9BdAoqd-5I8",
                kind=kind,
                subject="cd" * 16,
                message_sha256="12" * 32,
                cells=2,
                recordings=5,
                prev=NOTHING,
                own_prev=entries[-1].hash if entries else NOTHING,
            )
        )
    return entries


def followed(page: Page, entries: list[LogEntry], seen: tuple[int, str] = (0, NOTHING)) -> Any:
    records = json.loads(json.dumps([to_record(entry) for entry in entries]))
    return run(
        page,
        "log",
        """return await m.follow(v.entries, v.owner, { seq: 0, hash: "0".repeat(64) },
            { seq: v.seq, hash: v.hash });""",
        entries=records,
        owner=COLLECTOR,
        seq=seen[0],
        hash=seen[1],
    )


def test_the_browser_follows_the_log(blank: Page) -> None:
    entries = history()
    mark = followed(blank, entries)
    assert (mark["seq"], mark["hash"]) == (9, entries[-1].hash)
    for entry in entries:
        assert followed(blank, entries, (entry.seq, entry.hash)) == mark


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("one left out", lambda e: [e[0], e[2]]),
        ("one altered", lambda e: [e[0], replace(e[1], recordings=1), e[2]]),
        ("out of order", lambda e: [e[1], e[0], e[2]]),
        ("somebody else's", lambda e: [replace(e[0], pseudonym="cd" * 16)]),
        ("the first left out", lambda e: e[1:]),
    ],
)
def test_the_browser_follows_no_other_log(blank: Page, why: str, change: Any) -> None:
    with pytest.raises(Error, match="log-broken"):
        followed(blank, change(history()))


def test_a_history_that_was_rewritten_shows(blank: Page) -> None:
    entries = history()
    rewritten = [replace(entries[0], at=1)]
    rewritten.append(replace(entries[1], own_prev=rewritten[0].hash))
    rewritten.append(replace(entries[2], own_prev=rewritten[1].hash))
    followed(blank, rewritten)
    for seen in entries:
        with pytest.raises(Error, match="log-broken"):
            followed(blank, rewritten, (seen.seq, seen.hash))
    with pytest.raises(Error, match="log-broken"):
        followed(blank, entries, (5, "1" * 64))
