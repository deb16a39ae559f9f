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

/** The same, with a signing key made by `make` if there is none; two tabs end with the same. */
export async function ownKeysOrNew(login, make = softwareKey) {
  const held = await ownKeys(login);
  if (held?.jwk) return held;
  const made = { ...(await make()), enrolled: false };
  if (!held) return keepFirst("keys", login, { ...made, idKey: await newIdKey() });
  await write("keys", login, { ...made, idKey: held.idKey });
  return ownKeys(login);
}

/**
 * Puts another signing key in the place of the login's; recording ids stay as they were. `root` is
 * the thumbprint of the account's first key.
 */
export async function takeKey(login, key, root) {
  const idKey = (await ownKeys(login))?.idKey ?? (await newIdKey());
  await write("keys", login, { ...key, idKey, root, enrolled: true });
}

/** The signing key is lost, as a passkey that was deleted; recording ids stay as they were. */
export async function forgetKey(login) {
  const { idKey } = await ownKeys(login);
  await write("keys", login, { idKey });
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

function newIdKey() {
  return crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256", length: 256 }, false, ["sign"]);
}

// A login has no space.
const waiting = (login) => `${login} waiting`;
