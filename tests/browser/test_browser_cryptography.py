"""The browser's cryptography against Python's: what one side makes the other must read."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import Error, Page

from crypto import hpke
from crypto.encoding import b64u, new_id, sha256_hex, unb64u
from crypto.errors import OpeningMismatch, SealBroken
from crypto.jws import CollectorKey, SigningKey, doctor_code, fingerprint, thumbprint, verify
from crypto.keyholder.private_key import PrivateKey
from crypto.messages import KeyState, Manifest, PaillierEntry, SealingEntry
from crypto.opening import commit_digest, range_is_valid, recover_counts
from crypto.slots import rate_count_offset
from crypto.unsealing import SealingKey
from tests.support.small_keys import SMALL_BITS, small_keys

VECTORS = Path(__file__).parents[1] / "crypto" / "vectors"


def run(page: Page, module: str, code: str, **values: Any) -> Any:
    """Runs JavaScript that knows the module as `m`, encodings as `bytes` and the values as `v`."""
    return page.evaluate(
        f"""async (v) => {{
            const m = await import("/static/js/{module}.js");
            const bytes = await import("/static/js/bytes.js");
            {code}
        }}""",
        values,
    )


@pytest.fixture(scope="module")
def small_private() -> Iterator[PrivateKey]:
    with small_keys():
        yield PrivateKey.generate(SMALL_BITS)


# Sealing


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_what_the_browser_seals_the_worker_opens(blank: Page, size: int) -> None:
    worker, recording, pseudonym = SealingKey.generate(), new_id(), new_id()
    sealed = run(
        blank,
        "sealing",
        """const plain = new Uint8Array(v.size).map((_, i) => i * 7);
        const info = m.recordingInfo(v.recording, v.pseudonym);
        return bytes.b64u(await m.seal(bytes.unb64u(v.public), info, plain));""",
        size=size,
        recording=recording,
        pseudonym=pseudonym,
        public=b64u(worker.public),
    )
    info = hpke.recording_info(recording, pseudonym)
    assert worker.unseal(info, unb64u(sealed)) == bytes(i * 7 % 256 for i in range(size))
    with pytest.raises(SealBroken):
        worker.unseal(hpke.recording_info(new_id(), pseudonym), unb64u(sealed))


def test_what_a_server_seals_only_its_one_time_recipient_opens(blank: Page) -> None:
    jti = new_id()
    public = run(
        blank,
        "sealing",
        "window.mine = await m.oneTimeRecipient(); return bytes.b64u(window.mine.publicBytes);",
    )
    for info, name in ((hpke.blind_info(jti), "blindInfo"), (hpke.value_info(jti), "valueInfo")):
        sealed = hpke.seal(unb64u(public), info, b"a mask")
        opened = run(
            blank,
            "sealing",
            f"""return bytes.fromUtf8(
                await window.mine.open(m.{name}(v.jti), bytes.unb64u(v.sealed)));""",
            jti=jti,
            sealed=b64u(sealed),
        )
        assert opened == "a mask"
        altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
        with pytest.raises(Error, match="seal-broken"):
            run(
                blank,
                "sealing",
                f"await window.mine.open(m.{name}(v.jti), bytes.unb64u(v.sealed));",
                jti=jti,
                sealed=b64u(altered),
            )


def test_known_answers_of_the_rfc(blank: Page) -> None:
    vectors = json.loads((VECTORS / "hpke.json").read_text())["vectors"]
    ours = [vector for vector in vectors if vector["aead_id"] == 2]
    assert ours
    for vector in ours:
        opened = blank.evaluate(
            """async (v) => {
                const h = await import("/static/vendor/hpke-core.js");
                const unhex = (text) =>
                    Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
                const suite = new h.CipherSuite({
                    kem: new h.DhkemX25519HkdfSha256(),
                    kdf: new h.HkdfSha256(),
                    aead: new h.Aes256Gcm(),
                });
                const recipientKey = await suite.kem.importKey("raw", unhex(v.skRm).buffer, false);
                const context = await suite.createRecipientContext({
                    recipientKey, enc: unhex(v.enc).buffer, info: unhex(v.info).buffer,
                });
                const { ct, aad } = v.encryptions[0];
                const plain = await context.open(unhex(ct).buffer, unhex(aad).buffer);
                return Array.from(new Uint8Array(plain));
            }""",
            vector,
        )
        assert bytes(opened).hex() == vector["encryptions"][0]["pt"]


# Paillier

ENCRYPT = """const key = await m.PaillierKey.from(bytes.unb64u(v.n), v.keyId, v.minBits);
return v.plain.map((text) => bytes.b64u(key.encrypt(BigInt(text))));"""


def test_ciphertexts_of_the_browser_decrypt(blank: Page, small_private: PrivateKey) -> None:
    public = small_private.public
    plain = [0, 1, 32_768, 65_535, public.n - 1]
    made = run(blank, "paillier", ENCRYPT, plain=[str(m) for m in plain], **_small(small_private))
    read = [small_private.decrypt(public.parse(unb64u(text))) for text in made]
    assert read == plain


def test_a_key_of_full_size(blank: Page) -> None:
    private = PrivateKey.generate(3072)
    public = private.public
    made = run(
        blank,
        "paillier",
        ENCRYPT.replace(", v.minBits", ""),
        plain=["32768", "32768"],
        n=b64u(public.n.to_bytes(public.plaintext_bytes, "big")),
        keyId=public.key_id,
    )
    assert [len(unb64u(text)) for text in made] == [768, 768]
    assert made[0] != made[1]
    assert [private.decrypt(public.parse(unb64u(text))) for text in made] == [32_768, 32_768]


def test_short_and_foreign_keys_are_refused(blank: Page, small_private: PrivateKey) -> None:
    small = _small(small_private)
    for changed in (small | {"minBits": 3072}, small | {"keyId": "0" * 64}):
        with pytest.raises(Error, match="bad-key"):
            run(blank, "paillier", ENCRYPT, plain=["1"], **changed)
    with pytest.raises(Error, match="out-of-range"):
        run(blank, "paillier", ENCRYPT, plain=[str(small_private.public.n)], **small)


def _small(private: PrivateKey) -> dict[str, Any]:
    n = private.public.n.to_bytes(private.public.plaintext_bytes, "big")
    return {"n": b64u(n), "keyId": private.public.key_id, "minBits": SMALL_BITS}


# Signatures, ids, codes


def test_signatures_of_the_browser_verify(blank: Page) -> None:
    payload = {"grant": new_id(), "name": "Pätient – 7°"}
    made = run(
        blank,
        "keys",
        """const jws = await import("/static/js/jws.js");
        const keys = await m.ownKeysOrNew("patient-12345");
        const token = await jws.sign("hushbeat-grant", v.payload, keys);
        const code = await jws.doctorCode(keys.thumbprint);
        return { token, jwk: keys.jwk, thumbprint: keys.thumbprint, code };""",
        payload=payload,
    )
    assert verify(made["token"], "hushbeat-grant", made["jwk"]) == payload
    assert made["thumbprint"] == thumbprint(made["jwk"])
    assert made["code"] == doctor_code(made["thumbprint"])


VERIFY = "return m.verify(v.token, v.typ, v.jwk).then((payload) => payload, (error) => error.code);"


def test_signatures_of_the_servers_verify_and_others_do_not(blank: Page) -> None:
    vectors = json.loads((VECTORS / "signed_messages.json").read_text())
    for vector in vectors["valid"]:
        jwk = vectors["keys"][vector["signer"]]["jwk"]
        token = vector["token"]
        asked = {"token": token, "typ": _typ(token), "jwk": jwk}
        assert run(blank, "jws", VERIFY, **asked) == vector["payload"]
        head, payload, signature = token.split(".")
        flipped = bytes([unb64u(signature)[0] ^ 1]) + unb64u(signature)[1:]
        wrong = [
            asked | {"token": f"{head}.{payload}.{b64u(flipped)}"},
            asked | {"token": f"{head}.{b64u(unb64u(payload) + b' ')}.{signature}"},
            asked | {"typ": "hushbeat-other"},
            asked | {"jwk": SigningKey.generate().public_jwk},
            asked | {"jwk": CollectorKey.generate().public_jwk},
        ]
        for one in wrong:
            assert run(blank, "jws", VERIFY, **one) in ("bad-signature", "bad-message")


def test_an_algorithm_of_the_header_talks_nobody_into_anything(blank: Page) -> None:
    """The signature fits; only what the header says of it does not."""
    key = SigningKey.generate()
    private = Ed25519PrivateKey.from_private_bytes(key.to_bytes())
    for alg, answer in (("EdDSA", {}), ("none", "bad-signature"), ("ES256", "bad-signature")):
        header = {"alg": alg, "kid": key.thumbprint, "typ": "hushbeat-manifest"}
        signed = f"{b64u(json.dumps(header).encode())}.{b64u(b'{}')}"
        token = f"{signed}.{b64u(private.sign(signed.encode()))}"
        asked = {"token": token, "typ": "hushbeat-manifest", "jwk": key.public_jwk}
        assert run(blank, "jws", VERIFY, **asked) == answer


def _typ(token: str) -> str:
    typ: str = json.loads(unb64u(token.split(".")[0]))["typ"]
    return typ


def test_the_same_file_has_the_same_id_as_in_python(blank: Page) -> None:
    id_key, data = bytes(range(32)), b"RIFF" + bytes(5000)
    made = run(
        blank,
        "recording-id",
        """const hmac = { name: "HMAC", hash: "SHA-256" };
        const raw = bytes.unb64u(v.key);
        const key = await crypto.subtle.importKey("raw", raw, hmac, false, ["sign"]);
        return m.recordingId(key, bytes.unb64u(v.data));""",
        key=b64u(id_key),
        data=b64u(data),
    )
    message = b"hushbeat/recording-id/v1\0" + data
    assert made == hmac.new(id_key, message, hashlib.sha256).hexdigest()[:32]


def test_keys_stay_and_cannot_leave_the_browser(blank: Page) -> None:
    first = run(blank, "keys", 'return (await m.ownKeysOrNew("patient-1")).thumbprint;')
    blank.reload()
    assert run(blank, "keys", 'return (await m.ownKeysOrNew("patient-1")).thumbprint;') == first
    assert run(blank, "keys", 'return (await m.ownKeysOrNew("patient-2")).thumbprint;') != first
    both = run(
        blank,
        "keys",
        """const made = () => m.ownKeysOrNew("patient-3");
        const keys = await Promise.all([made(), made()]);
        return keys.map((one) => one.thumbprint);""",
    )
    assert both[0] == both[1]
    for private in ("privateKey", "idKey"):
        with pytest.raises(Error, match="not extractable"):
            run(
                blank,
                "keys",
                f'await crypto.subtle.exportKey("jwk", (await m.ownKeys("patient-1")).{private});',
            )


# The manifest


def _manifest(server: SigningKey, private: PrivateKey) -> dict[str, Any]:
    sealing = SealingKey.generate()
    entry = PaillierEntry(key_id=private.public.key_id, n=private.public.n, state=KeyState.ACTIVE)
    manifest = Manifest(
        issued_at=1_767_225_600,
        keyholder_url="https://keyholder.example",
        aggregator_url="https://aggregator.example",
        paillier=(entry,),
        sealing=SealingEntry(key_id=sealing.key_id, public=sealing.public),
        report_key=SigningKey.generate().public_jwk,
        statement_key=SigningKey.generate().public_jwk,
        operating_point=32_768,
    )
    return {"manifest": manifest.sign(server), "key": server.public_jwk}


READ_MANIFEST = """return m.verifiedManifest(v.answer, v.pinned, v.minBits).then(
    (read) => [read.paillier.keyId, read.maxCells, bytes.b64u(read.sealingKey)],
    (error) => error.code);"""


def test_a_manifest_is_read_only_under_the_pinned_key(
    blank: Page, small_private: PrivateKey
) -> None:
    server, thief = SigningKey.generate(), SigningKey.generate()
    with small_keys():
        answer, forged = _manifest(server, small_private), _manifest(thief, small_private)
    pinned = {"pinned": fingerprint(server.public_jwk), "minBits": SMALL_BITS}
    key_id, cells, _ = run(blank, "manifest", READ_MANIFEST, answer=answer, **pinned)
    assert key_id == small_private.public.key_id
    assert cells == (small_private.public.bits - 2) // 48
    assert run(blank, "manifest", READ_MANIFEST, answer=forged, **pinned) == "manifest-changed"
    swapped = forged | {"key": server.public_jwk}
    assert run(blank, "manifest", READ_MANIFEST, answer=swapped, **pinned) == "bad-signature"


def test_a_fingerprint_that_changes_later_is_refused(blank: Page) -> None:
    pin = "return m.pinnedFingerprint(v.url, v.print).catch((error) => error.code);"
    for expected, url, print_ in (
        ("aa", "https://b.example", "aa"),
        ("manifest-changed", "https://b.example", "bb"),
        ("aa", "https://b.example", "aa"),
        ("bb", "https://other.example", "bb"),
    ):
        assert run(blank, "manifest", pin, url=url, print=print_) == expected
        blank.reload()


# Ranges


def test_a_range_is_packed_as_python_packs_it(blank: Page) -> None:
    """The same file as tests/crypto/test_crypto_slots.py reads."""
    known = json.loads((VECTORS / "packing.json").read_text())
    pack = """try {
        return m.packRange(v.bits, v).toString(16);
    } catch (error) {
        return error.code;
    }"""
    for vector in known["recordings"]:
        assert run(blank, "ranges", pack, **vector) == vector["bounds"]
    for values in known["refused_ranges"]:
        for bits in (512, 3072):
            assert run(blank, "ranges", pack, bits=bits, **values) == "range-order"


# Counts


def test_known_openings(blank: Page) -> None:
    for known in json.loads((VECTORS / "packing.json").read_text())["openings"]:
        n, width = (1 << known["bits"]) - 1, (known["bits"] + 7) // 8
        packed, cells = int(known["packed"], 16), known["cells"]
        recordings = [cell[0] for cell in cells]
        assert _recover(blank, packed, 0, n, width, recordings) == cells
        most = (known["bits"] - 2) // 48
        too_many = [*recordings, *[0] * (most + 1 - len(cells))]
        assert _recover(blank, packed, 0, n, width, too_many) == "opening-mismatch"


def test_counts_come_out_as_python_recovers_them(blank: Page, small_private: PrivateKey) -> None:
    n = small_private.public.n
    width = small_private.public.plaintext_bytes
    cells = [(3, 1, 2), (2, 2, 2), (0, 0, 0), (16_777_215, 16_777_215, 7), (1, 0, 1)]
    value = _packed(small_private, cells)
    for blind in (0, 5, n - 1):
        masked = (value + blind) % n
        recordings = [number for number, _, _ in cells]
        read = recover_counts(
            masked.to_bytes(width, "big"),
            blind.to_bytes(width, "big"),
            small_private.public,
            recordings,
        )
        assert [(counts.sound, counts.rate) for counts in read] == [
            (sound, rate) for _, sound, rate in cells
        ]
        assert _recover(blank, masked, blind, n, width, recordings) == [list(c) for c in cells]


def test_slots_are_as_wide_as_the_statement_says(blank: Page, small_private: PrivateKey) -> None:
    n, width = small_private.public.n, small_private.public.plaintext_bytes
    cells, recordings = [(3, 1, 2), (2, 2, 0)], [3, 2]
    value = _packed(small_private, cells, slot_bits=2)
    read = [_recover(blank, value, 0, n, width, recordings, slot_bits=w) for w in (2, 24, 0, 25)]
    assert read == [[list(c) for c in cells], "opening-mismatch", "bad-statement", "bad-statement"]


@pytest.mark.parametrize(
    ("sound", "rate"),
    [(1 << 24, 0), (1 << 48, 0), (-3, 0), (3, 0), (0, 4), (0, 1 << 24), (0, 1 << 48)],
)
def test_a_number_that_does_not_fit_is_no_count(
    blank: Page, small_private: PrivateKey, sound: int, rate: int
) -> None:
    n, width = small_private.public.n, small_private.public.plaintext_bytes
    masked, blind = (_packed(small_private, [(4, 2 + sound, 1 + rate)]) + 77) % n, 77
    assert _recover(blank, masked, blind, n, width, [4]) == "opening-mismatch"
    with pytest.raises(OpeningMismatch):
        recover_counts(
            masked.to_bytes(width, "big"), blind.to_bytes(width, "big"), small_private.public, [4]
        )


def test_a_range_is_valid_as_python_finds_it(blank: Page) -> None:
    digest = bytes(range(32))
    told = commit_digest(digest)
    for other, commitment in ((digest, told), (bytes(32), told), (digest, digest), (told, told)):
        valid = run(
            blank,
            "openings",
            "return m.isCommittedTo(new Uint8Array(v.digest), new Uint8Array(v.commitment));",
            digest=list(other),
            commitment=list(commitment),
        )
        assert valid is range_is_valid(other, commitment) is (other == digest != commitment)


def test_cells_are_grouped_by_what_a_ciphertext_and_a_request_hold(blank: Page) -> None:
    for lengths, groups in (
        ([], []),
        ([1] * 5, [[1] * 3, [1] * 2]),
        ([7_000, 5_000, 1], [[7_000, 5_000], [1]]),
        ([12_000, 12_001, 1, 1, 1, 1], [[12_000], [12_001], [1, 1, 1], [1]]),
        ([7_000, 7_000], [[7_000], [7_000]]),
    ):
        made = run(
            blank,
            "openings",
            """const cells = v.lengths.map((length) => ({ days: Array(length).fill("") }));
            return m.groupsOf(cells, 3).map((group) => group.map(({ days }) => days.length));""",
            lengths=lengths,
        )
        assert made == groups, lengths


def test_the_axis_has_few_whole_numbers_from_zero(blank: Page) -> None:
    for most, levels in (
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (4, [0, 1, 2, 3, 4]),
        (5, [0, 2, 4, 6]),
        (17, [0, 5, 10, 15, 20]),
        (41, [0, 20, 40, 60]),
        (1000, [0, 500, 1000]),
    ):
        assert run(blank, "counts-view", "return m.ticks(v.most);", most=most) == levels


def _packed(private: PrivateKey, cells: list[tuple[int, int, int]], slot_bits: int = 24) -> int:
    """Cells of (recordings, sound, rate) as an opening holds them."""
    first = rate_count_offset(private.public.bits)
    return sum(
        (sound + (rate << first)) << (slot_bits * k) for k, (_, sound, rate) in enumerate(cells)
    )


def _recover(
    page: Page,
    masked: int,
    blind: int,
    n: int,
    width: int,
    recordings: list[int],
    shown: str = "[count.recordings, count.sound, count.rate]",
    slot_bits: int = 24,
) -> Any:
    return run(
        page,
        "openings",
        """const cells = v.recordings.map((r) => ({ pseudonym: "", days: [["2026-01-01", r]] }));
        const read = (text) => bytes.unb64u(text);
        try {
            const n = bytes.toBigInt(read(v.n));
            const counts = m.recoverCounts(read(v.masked), read(v.blind), n, cells, v.slotBits);
            return counts.map((count) => SHOWN);
        } catch (error) {
            return error.code;
        }""".replace("SHOWN", shown),
        masked=b64u(masked.to_bytes(width, "big")),
        blind=b64u(blind.to_bytes(width, "big")),
        n=b64u(n.to_bytes(width, "big")),
        recordings=recordings,
        slotBits=slot_bits,
    )


def test_hashes_and_encodings_are_the_same(blank: Page) -> None:
    data = bytes(range(256)) * 300
    made = run(
        blank,
        "bytes",
        "const data = m.unb64u(v.data); return [await m.sha256Hex(data), m.b64u(data)];",
        data=b64u(data),
    )
    assert made == [sha256_hex(data), b64u(data)]
    for text in ("a", "ab=", "a+b/", "AB"):
        with pytest.raises(Error, match="bad-message"):
            run(blank, "bytes", "m.unb64u(v.text);", text=text)
