/**
 * A healthy range: encrypted here, so that neither server learns it. Whether its lower limit is not
 * above its upper one is compared under encryption, and opened by the doctor who set it alone.
 */

import { b64u, newId } from "./bytes.js";
import { HushbeatError } from "./errors.js";
import { sign } from "./jws.js";
import { currentManifest } from "./manifest.js";
import { openRangeCheck } from "./openings.js";
import { pause } from "./page.js";
import { aggregator } from "./servers.js";

const MAX_SCORE = 65_535;
const POLL_MS = 1_000;
const PATIENCE_MS = 180_000;

/** Proposes a range: threshold on the sound score, limits of the heart rate in tenths of bpm. */
export async function propose(keys, pseudonym, { threshold, lo, hi }) {
  const values = [threshold, lo, hi];
  const possible = values.every((v) => Number.isInteger(v) && v >= 0 && v <= MAX_SCORE);
  if (!possible || lo > hi) throw new HushbeatError("range-order");
  const { paillier } = await currentManifest();
  const ciphertexts = [];
  for (const value of values) {
    ciphertexts.push(b64u(paillier.encrypt(BigInt(value))));
    await pause(0); // each takes a moment: let the page draw in between
  }
  const payload = {
    range: newId(),
    pseudonym,
    key_id: paillier.keyId,
    threshold: ciphertexts[0],
    lo: ciphertexts[1],
    hi: ciphertexts[2],
    iat: Math.floor(Date.now() / 1000),
  };
  const token = await sign("hushbeat-range", payload, keys);
  await aggregator.post(`/api/patients/${pseudonym}/ranges`, { range: token });
  return payload.range;
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
  const accept = await openRangeCheck(keys, range);
  return (await aggregator.post(`/api/ranges/${range}/decision`, { accept })).state;
}

/** Which sentence describes a patient's range. */
export function rangeWord(range) {
  if (!range) return "default";
  if (range.state !== "active") return "pending";
  return range.mine ? "mine" : "other";
}
