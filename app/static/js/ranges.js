/**
 * A healthy range: encrypted here, so that neither server learns it. Whether its limits are possible
 * and in order is compared under encryption, and opened by the doctor who set it alone: the key holder
 * tells only the doctor its digest, and the aggregator takes the range for that digest.
 */

import { b64u, newId } from "./bytes.js";
import { HushbeatError } from "./errors.js";
import { freshManifest } from "./manifest.js";
import { openRangeCheck } from "./openings.js";
import { now, pause } from "./page.js";
import { aggregator } from "./servers.js";
import { ready, sign } from "./signer.js";

const MAX_SCORE = 65_535;

/** Of one comparison in a plaintext, and of a zone: the same comparison of several recordings. */
const COMPARISON_SLOT_BITS = 82;
const zoneBits = (bits) =>
  COMPARISON_SLOT_BITS * Math.floor((bits - 2) / (3 * COMPARISON_SLOT_BITS));

const POLL_MS = 1_000;
const PATIENCE_MS = 180_000;

/** Proposes a range: threshold on the sound score, limits of the heart rate in tenths of bpm. */
export async function propose(keys, pseudonym, { threshold, lo, hi }) {
  const { paillier } = await freshManifest();
  const bounds = packRange(paillier.bits, { threshold, lo, hi });
  await pause(0); // encrypting takes a moment: let the page draw before
  await ready(keys);
  const payload = {
    range: newId(),
    pseudonym,
    key_id: paillier.keyId,
    bounds: b64u(paillier.encrypt(bounds)),
    iat: now(),
  };
  const token = await sign("hushbeat-range", payload, keys);
  await aggregator.post(`/api/patients/${pseudonym}/ranges`, { range: token });
  return payload.range;
}

/** The plaintext of a range: threshold, lo and hi + 1, a zone each (docs/protocol.md, section 2). */
export function packRange(bits, { threshold, lo, hi }) {
  const zones = [threshold, lo, hi + 1];
  const possible = zones.every((v) => Number.isInteger(v) && v >= 0 && v <= MAX_SCORE);
  if (!possible || lo > hi) throw new HushbeatError("range-order");
  return zones.reduce((sum, value, j) => sum + (BigInt(value) << BigInt(j * zoneBits(bits))), 0n);
}

/** Waits for the comparison, opens it and decides; answers the range's last state. */
export async function confirm(keys, range) {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const { state } = await aggregator.get(`/api/ranges/${range}`);
    if (state === "checked") break;
    if (state !== "proposed") return state;
    if (Date.now() > until) throw new HushbeatError("range-waiting");
    await pause(POLL_MS);
  }
  const digest = await openRangeCheck(keys, range);
  const decision = digest ? { accept: true, digest: b64u(digest) } : { accept: false };
  return (await aggregator.post(`/api/ranges/${range}/decision`, decision)).state;
}

/** Which sentence describes a patient's range. */
export function rangeWord(range) {
  if (!range) return "default";
  if (range.state !== "active") return "pending";
  return range.mine ? "mine" : "other";
}
