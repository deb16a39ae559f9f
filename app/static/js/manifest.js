/**
 * The key holder's manifest: which keys to seal and encrypt to. It is signed by the key holder; the
 * fingerprint of the signing key comes with the page and is remembered at the first visit. A page
 * that brings another one later is refused loudly: somebody may have exchanged the keys.
 */

import { unb64u } from "./bytes.js";
import { HushbeatError } from "./errors.js";
import { fingerprint, verify } from "./jws.js";
import { page } from "./page.js";
import { PaillierKey } from "./paillier.js";
import { keyholder } from "./servers.js";
import { keepFirst } from "./store.js";

/** Of one count in an opening; a cell has two. */
export const COUNT_SLOT_BITS = 24;

let current;

/** The manifest of this visit, fetched and checked once. */
export function currentManifest() {
  current ??= fetched().catch((error) => {
    current = undefined;
    throw error;
  });
  return current;
}

/** The manifest as it is now: keys change rarely, and never while somebody waits for a page. */
export function freshManifest() {
  current = undefined;
  return currentManifest();
}

/** The Paillier key of that id, which may be newer than this visit; undefined if there is none. */
export async function paillierKey(id) {
  return (await currentManifest()).paillierKey(id) ?? (await freshManifest()).paillierKey(id);
}

async function fetched() {
  const pinned = await pinnedFingerprint(page.keyholder.url, page.keyholder.fingerprint);
  return verifiedManifest(await keyholder.get("/v1/manifest"), pinned);
}

/** Checks `{manifest, key}` as `GET /v1/manifest` answers it and reads the keys out of it. */
export async function verifiedManifest(answer, pinned, minKeyBits) {
  if ((await fingerprint(answer.key)) !== pinned) throw new HushbeatError("manifest-changed");
  const manifest = await verify(answer.manifest, "hushbeat-manifest", answer.key);
  const usable = manifest.paillier?.filter((key) => key.state !== "pending") ?? [];
  const active = usable.filter((key) => key.state === "active");
  if (manifest.version !== 1 || manifest.slot_bits !== COUNT_SLOT_BITS || active.length !== 1) {
    throw new HushbeatError("manifest-unknown");
  }
  const keys = new Map();
  for (const { key_id: id, n } of usable) {
    keys.set(id, await PaillierKey.from(unb64u(n), id, minKeyBits));
  }
  const paillier = keys.get(active[0].key_id);
  return {
    paillier,
    paillierKey: (id) => keys.get(id),
    maxCells: maxCells(paillier.bits),
    sealingKey: unb64u(manifest.sealing.public),
    statementKey: manifest.statement_key,
    manifestKey: answer.key,
    operatingPoint: manifest.operating_point,
  };
}

/** How many cells fit in one opening under a modulus of that many bits. */
export function maxCells(bits) {
  return Math.floor((bits - 2) / (2 * COUNT_SLOT_BITS));
}

/** The fingerprint to hold the key holder to: the one remembered, if the page still agrees. */
export async function pinnedFingerprint(keyholderUrl, fromPage) {
  const remembered = await keepFirst("pins", keyholderUrl, fromPage);
  if (remembered !== fromPage) throw new HushbeatError("manifest-changed");
  return remembered;
}
