/**
 * Signed messages: JWS compact serialisation with a narrow reader (docs/protocol.md, section 1).
 * The verifier names the type and the key, and the key decides the algorithm.
 */

import { b64u, fromUtf8, sha256, unb64u, utf8 } from "./bytes.js";
import { HushbeatError } from "./errors.js";

const KINDS = {
  "OKP/Ed25519": { alg: "EdDSA", members: ["crv", "kty", "x"] },
  "EC/P-256": { alg: "ES256", members: ["crv", "kty", "x", "y"] },
};

function kindOf(jwk) {
  const kind = KINDS[`${jwk?.kty}/${jwk?.crv}`];
  if (!kind || "d" in jwk) throw new HushbeatError("bad-key");
  return kind;
}

/** The required members of a public JWK, in the order in which RFC 7638 hashes them. */
export function publicJwk(jwk) {
  return Object.fromEntries(kindOf(jwk).members.map((name) => [name, jwk[name]]));
}

/** RFC 7638: base64url of SHA-256 over the required members. */
export async function thumbprint(jwk) {
  return b64u(await sha256(utf8(JSON.stringify(publicJwk(jwk)))));
}

/** Eighty bits of a thumbprint to be read out or typed: ABCD-EFGH-IJKL-MNOP. */
export async function doctorCode(thumb) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bytes = (await sha256(utf8(thumb))).subarray(0, 10);
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const code = bits.replace(/.{5}/g, (five) => alphabet[parseInt(five, 2)]);
  return code.match(/.{4}/g).join("-");
}

/** SHA-256 of a raw Ed25519 public key in hex: what clients pin of the key holder. */
export async function fingerprint(jwk) {
  if (kindOf(jwk).alg !== "EdDSA") throw new HushbeatError("bad-key");
  const digest = await sha256(unb64u(jwk.x));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The payload as a JWS of that type, signed with this ES256 key; `thumbprint` is the pinned key's. A
 * session of a passkey brings the certificate by which the passkey vouches for `privateKey`.
 */
export async function sign(typ, payload, { privateKey, thumbprint: kid, certificate }) {
  const header = { alg: "ES256", kid, typ, ...(certificate && { cert: certificate }) };
  const signed = [header, payload].map((part) => b64u(utf8(JSON.stringify(part)))).join(".");
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const signature = await crypto.subtle.sign(algorithm, privateKey, utf8(signed));
  return `${signed}.${b64u(new Uint8Array(signature))}`;
}

/** The payload of a JWS that nobody has verified: for the messages that one only passes on. */
export function claimed(token) {
  const parts = typeof token === "string" ? token.split(".") : [];
  if (parts.length !== 3) throw new HushbeatError("bad-message");
  return jsonObject(unb64u(parts[1]));
}

/** The payload of a JWS of that type, signed by that public key; anything else is an error. */
export async function verify(token, typ, jwk) {
  const { alg } = kindOf(jwk);
  const parts = typeof token === "string" ? token.split(".") : [];
  if (parts.length !== 3) throw new HushbeatError("bad-message");
  const [header, payload] = parts.slice(0, 2).map((part) => jsonObject(unb64u(part)));
  const known = Object.keys(header).sort().join() === "alg,kid,typ";
  if (!known || header.typ !== typ) throw new HushbeatError("bad-message");
  if (header.alg !== alg || header.kid !== (await thumbprint(jwk))) {
    throw new HushbeatError("bad-signature");
  }
  const isEdDSA = alg === "EdDSA";
  const importing = isEdDSA ? { name: "Ed25519" } : { name: "ECDSA", namedCurve: "P-256" };
  const verifying = isEdDSA ? { name: "Ed25519" } : { name: "ECDSA", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("jwk", publicJwk(jwk), importing, false, ["verify"]);
  const signed = utf8(`${parts[0]}.${parts[1]}`);
  if (!(await crypto.subtle.verify(verifying, key, unb64u(parts[2]), signed))) {
    throw new HushbeatError("bad-signature");
  }
  return payload;
}

function jsonObject(bytes) {
  let value;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch {
    throw new HushbeatError("bad-message");
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new HushbeatError("bad-message");
  }
  return value;
}
