/**
 * HPKE base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. A sealed message
 * is enc (32 bytes) followed by the ciphertext; `info` names the purpose.
 */

import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "../vendor/hpke-core.js";
import { concat, utf8 } from "./bytes.js";
import { HushbeatError } from "./errors.js";

const ENC_BYTES = 32;
const suite = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
});

export const recordingInfo = (recording, pseudonym) =>
  utf8(`hushbeat/recording/v1\0${recording}\0${pseudonym}`);
export const blindInfo = (jti) => utf8(`hushbeat/opening/blind/v1\0${jti}`);
export const valueInfo = (jti) => utf8(`hushbeat/opening/value/v1\0${jti}`);

/** Seals to an X25519 public key of 32 bytes. */
export async function seal(publicBytes, info, plaintext) {
  const recipientPublicKey = await suite.kem.deserializePublicKey(publicBytes);
  const sender = await suite.createSenderContext({ recipientPublicKey, info });
  return concat(new Uint8Array(sender.enc), new Uint8Array(await sender.seal(plaintext)));
}

/** A one-time recipient of one opening; its private key cannot be exported. */
export async function oneTimeRecipient() {
  return recipientOf(await crypto.subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]));
}

/** The recipient of a pair of keys that was kept. */
export async function recipientOf(pair) {
  const publicBytes = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  return { pair, publicBytes, open: (info, sealed) => open(pair, info, sealed) };
}

async function open(recipientKey, info, sealed) {
  try {
    const enc = sealed.slice(0, ENC_BYTES);
    const recipient = await suite.createRecipientContext({ recipientKey, enc, info });
    return new Uint8Array(await recipient.open(sealed.slice(ENC_BYTES)));
  } catch {
    throw new HushbeatError("seal-broken");
  }
}
