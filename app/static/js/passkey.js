/**
 * Passkeys (WebAuthn, ES256). A passkey signs no message itself: once a visit it signs a
 * certificate for a key of this session, and that key signs the messages. The public half of the
 * passkey is what both servers pin. No attestation is asked for: whose hardware it is, nobody learns.
 */

import { b64u, concat, sha256, unb64u, utf8 } from "./bytes.js";
import { HushbeatError } from "./errors.js";
import { publicJwk, thumbprint } from "./jws.js";
import { now, page } from "./page.js";

/** What the key holder accepts at most. */
const SESSION_SECONDS = 3_600;

const ES256 = -7;
const P256 = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING = { name: "ECDSA", hash: "SHA-256" };
const COORDINATE_BYTES = 32;
const HANDLE_BYTES = 32;

/** Whether a passkey can be made and used here: not where the address is a number. */
export function passkeysWork() {
  return Boolean(window.PublicKeyCredential && page.passkeys?.origin === location.origin);
}

/** Asks the person for a new passkey; answers `{credential, jwk, thumbprint}`. */
export async function makePasskey({ login, display_name: displayName }) {
  const random = (length) => crypto.getRandomValues(new Uint8Array(length));
  const credential = await asked(() =>
    navigator.credentials.create({
      publicKey: {
        rp: { id: page.passkeys.rpId, name: "Hushbeat" },
        // A handle that two passkeys shared would make the second one replace the first.
        user: { id: random(HANDLE_BYTES), name: login, displayName },
        challenge: random(32), // without attestation nothing is signed
        pubKeyCredParams: [{ type: "public-key", alg: ES256 }],
        authenticatorSelection: {
          residentKey: "required",
          requireResidentKey: true,
          userVerification: "required",
        },
        attestation: "none",
      },
    }),
  );
  const spki = credential.response.getPublicKey();
  if (credential.response.getPublicKeyAlgorithm() !== ES256 || !spki) {
    throw new HushbeatError("passkey-unsuitable");
  }
  const key = await crypto.subtle.importKey("spki", spki, P256, true, ["verify"]);
  const jwk = publicJwk(await crypto.subtle.exportKey("jwk", key));
  const id = b64u(new Uint8Array(credential.rawId));
  return { credential: id, jwk, thumbprint: await thumbprint(jwk) };
}

/**
 * Asks the person for a signature by the passkey of that credential; answers the session
 * `{privateKey, certificate, exp}`.
 */
export async function newSession(credential, collector) {
  const { session } = await certified(collector, [{ type: "public-key", id: unb64u(credential) }]);
  return session;
}

/**
 * The same with whichever passkey of this site the person chooses: answers `{passkey, session}` if
 * its key is among these public JWKs, and says so if it is another account's.
 */
export async function chosenPasskey(collector, jwks) {
  const { session, assertion } = await certified(collector, []);
  const client = await sha256(new Uint8Array(assertion.response.clientDataJSON));
  const signed = concat(new Uint8Array(assertion.response.authenticatorData), client);
  const signature = rawSignature(new Uint8Array(assertion.response.signature));
  for (const jwk of jwks) {
    const key = await crypto.subtle.importKey("jwk", jwk, P256, false, ["verify"]);
    if (!(await crypto.subtle.verify(SIGNING, key, signature, signed))) continue;
    const credential = b64u(new Uint8Array(assertion.rawId));
    return { passkey: { credential, jwk, thumbprint: await thumbprint(jwk) }, session };
  }
  throw new HushbeatError("passkey-foreign");
}

async function certified(collector, allowCredentials) {
  const signing = await crypto.subtle.generateKey(P256, false, ["sign", "verify"]);
  const jwk = publicJwk(await crypto.subtle.exportKey("jwk", signing.publicKey));
  const iat = now();
  const exp = iat + SESSION_SECONDS;
  const told = utf8(JSON.stringify({ collector, session: jwk, iat, exp }));
  const challenge = await sha256(told);
  const assertion = await asked(() =>
    navigator.credentials.get({
      publicKey: {
        challenge,
        rpId: page.passkeys.rpId,
        allowCredentials,
        userVerification: "required",
      },
    }),
  );
  const { authenticatorData, clientDataJSON, signature } = assertion.response;
  const certificate = {
    session: b64u(told),
    authenticator_data: b64u(new Uint8Array(authenticatorData)),
    client_data: b64u(new Uint8Array(clientDataJSON)),
    signature: b64u(new Uint8Array(signature)),
  };
  return { session: { privateKey: signing.privateKey, certificate, exp }, assertion };
}

/** What the person or the browser declines has one name; the reasons differ from browser to browser. */
async function asked(ask) {
  let credential;
  try {
    credential = await ask();
  } catch (error) {
    if (error instanceof DOMException) throw new HushbeatError("passkey-declined");
    throw error;
  }
  if (!credential) throw new HushbeatError("passkey-declined");
  return credential;
}

/** An ECDSA signature as WebCrypto takes it, out of the DER in which authenticators answer. */
export function rawSignature(der) {
  const integer = (at) => {
    const length = der[at + 1];
    const bytes = der.subarray(at + 2, at + 2 + length);
    const significant = bytes.subarray(bytes.findIndex((byte) => byte !== 0));
    const short = der[at] === 0x02 && bytes.length === length && length < 0x80;
    if (!short || significant.length > COORDINATE_BYTES) throw new HushbeatError("bad-message");
    const padding = new Uint8Array(COORDINATE_BYTES - significant.length);
    return { padded: concat(padding, significant), end: at + 2 + length };
  };
  const whole = der[0] === 0x30 && der[1] === der.length - 2;
  if (!whole) throw new HushbeatError("bad-message");
  const r = integer(2);
  const s = integer(r.end);
  if (s.end !== der.length) throw new HushbeatError("bad-message");
  return concat(r.padded, s.padded);
}
