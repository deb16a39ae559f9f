/**
 * This browser's keys of one login: the ES256 key that signs, and an HMAC key that derives recording
 * ids. The signing key is one that the browser keeps (its private half cannot be exported, not even
 * by this page) or a passkey, whose private half is not in the browser at all.
 */

import { publicJwk, thumbprint } from "./jws.js";
import { makePasskey } from "./passkey.js";
import { keepFirst, read, remove, write } from "./store.js";

/** The keys that this browser holds for the login, or undefined. */
export function ownKeys(login) {
  return read("keys", login);
}

/** The same, with a signing key made by `make` if there are none; two tabs end with the same. */
export async function ownKeysOrNew(login, make = softwareKey) {
  return (await ownKeys(login)) ?? keepFirst("keys", login, await withIdKey(await make()));
}

/**
 * Puts another signing key in the place of the login's; recording ids stay as they were. `root` is
 * the thumbprint of the account's first key.
 */
export async function takeKey(login, key, root) {
  const idKey = (await ownKeys(login))?.idKey;
  const keys = idKey ? { ...key, idKey } : await withIdKey(key);
  await write("keys", login, { ...keys, root, enrolled: true });
}

/** Remembers that the key holder has pinned the signing key as the account's first. */
export async function markEnrolled(login) {
  const keys = await ownKeys(login);
  await write("keys", login, { ...keys, root: keys.thumbprint, enrolled: true });
}

/** A key of this browser that waits to be taken in, with what it asked for: `{key, ...request}`. */
export function waitingKey(login) {
  return read("keys", waiting(login));
}

export function keepWaitingKey(login, request) {
  return write("keys", waiting(login), request);
}

export function forgetWaitingKey(login) {
  return remove("keys", waiting(login));
}

/** A new signing key that this browser keeps. */
export async function softwareKey() {
  const signing = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    false,
    ["sign", "verify"],
  );
  const jwk = publicJwk(await crypto.subtle.exportKey("jwk", signing.publicKey));
  const { privateKey } = signing;
  return { type: "software", privateKey, jwk, thumbprint: await thumbprint(jwk) };
}

/** A new passkey of that account. */
export async function passkey(account) {
  return { type: "passkey", ...(await makePasskey(account)) };
}

async function withIdKey(key) {
  const algorithm = { name: "HMAC", hash: "SHA-256", length: 256 };
  return { ...key, idKey: await crypto.subtle.generateKey(algorithm, false, ["sign"]), enrolled: false };
}

// A login has no space.
const waiting = (login) => `${login} waiting`;
