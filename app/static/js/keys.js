/**
 * This browser's keys of one login: an ES256 key that signs (its private half cannot be exported,
 * not even by this page) and an HMAC key that derives recording ids.
 */

import { publicJwk, thumbprint } from "./jws.js";
import { keepFirst, read, write } from "./store.js";

/** The keys that this browser holds for the login, or undefined. */
export function ownKeys(login) {
  return read("keys", login);
}

/** The same, made now if there are none; two tabs at once end with the same keys. */
export async function ownKeysOrNew(login) {
  return (await ownKeys(login)) ?? keepFirst("keys", login, await generated());
}

/** Remembers that the key holder has pinned the signing key. */
export async function markEnrolled(login) {
  await write("keys", login, { ...(await ownKeys(login)), enrolled: true });
}

async function generated() {
  const signing = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    false,
    ["sign", "verify"],
  );
  const idKey = await crypto.subtle.generateKey(
    { name: "HMAC", hash: "SHA-256", length: 256 },
    false,
    ["sign"],
  );
  const jwk = publicJwk(await crypto.subtle.exportKey("jwk", signing.publicKey));
  return {
    privateKey: signing.privateKey,
    jwk,
    thumbprint: await thumbprint(jwk),
    idKey,
    enrolled: false,
  };
}
