/**
 * A clinic's cohorts (docs/protocol.md, section 6.1): rosters that are fixed for a month, and the one
 * opening of each. What it takes to read the answer is kept before the key holder is asked, so that
 * a connection that breaks loses nothing; the figure itself is kept nowhere.
 */

import { bitLength, newId } from "./bytes.js";
import { HushbeatError, ProblemError } from "./errors.js";
import { COUNT_SLOT_BITS, maxCells } from "./manifest.js";
import { askHalf, readHalf, recoverCounts, redeem, unmasked } from "./openings.js";
import { now, page } from "./page.js";
import { recipientOf } from "./sealing.js";
import { aggregator, keyholder } from "./servers.js";
import { ready, sign } from "./signer.js";
import { read, write } from "./store.js";

const QUERY_SECONDS = 60;
const NOISE_OFFSET = 1n << 22n;

/**
 * What the key holder knows of this collector: `{cohorts, least, epsilon, cap}`. A clinic's are its
 * rosters, a patient's those that the patient is on. Epsilon is in thousandths everywhere.
 */
export async function ownCohorts(keys) {
  await ready(keys); // a session that is begun now covers no earlier `iat`
  const iat = now();
  const payload = { collector: page.account.collector, iat, exp: iat + QUERY_SECONDS };
  const query = await sign("hushbeat-cohort-query", payload, keys);
  return keyholder.post("/v1/cohort-queries", { query });
}

/** Fixes the roster of a month for good: at the key holder, which enforces it, then here. */
export async function fixRoster(keys, month, pseudonyms) {
  await ready(keys);
  const payload = {
    roster: newId(),
    clinic: page.account.collector,
    month,
    pseudonyms: [...pseudonyms].sort(),
    iat: now(),
  };
  const roster = await sign("hushbeat-roster", payload, keys);
  await keyholder.post("/v1/rosters", { roster });
  await aggregator.post("/api/rosters", { roster });
}

/** Brings the aggregator the rosters that an earlier visit could bring to the key holder only. */
export async function bringRosters(cohorts, known) {
  const there = new Set(known.map(({ roster }) => roster));
  for (const { roster, signed } of cohorts) {
    if (signed && !there.has(roster)) await aggregator.post("/api/rosters", { roster: signed });
  }
}

/** Whether this browser can show the figure of a cohort that was opened. */
export async function isKept(roster) {
  return (await read("cohorts", roster)) !== undefined;
}

/**
 * The figure of a roster: opened now, or shown again. Answers `{members, recordings, sound, rate,
 * epsilon, margin}`; under noise the sums may lie below 0.
 */
export async function openCohort(keys, { roster, month, state }) {
  const kept = await read("cohorts", roster);
  if (kept) {
    try {
      const half = await readHalf(keys, kept.answer, await recipientOf(kept.pair));
      return await redeemed(keys, half, month);
    } catch (error) {
      const refused = error instanceof ProblemError && error.status < 500;
      if (!refused || state !== "fixed") throw error;
      // It was never opened, and it is too late now for this statement.
    }
  }
  const half = await askHalf(keys, "/api/cohort-openings", { roster });
  if (half.statement.roster !== roster) throw new HushbeatError("bad-statement");
  await write("cohorts", roster, { answer: half.answer, pair: half.recipient.pair });
  return redeemed(keys, half, month);
}

async function redeemed(keys, half, month) {
  const { statement } = half;
  if (statement.kind !== "cohort" || statement.month !== month) {
    throw new HushbeatError("bad-statement");
  }
  const { masked, blind } = await redeem(keys, "/v1/cohort-openings", half);
  const { members, recordings, epsilon, cap } = statement;
  const sums = recoverSums(masked, blind, half.key.n, statement);
  return { members, recordings, epsilon, margin: marginOf({ epsilon, cap }), ...sums };
}

/** The two sums; a wrong key, mask or number of recordings shows as a mismatch. */
export function recoverSums(masked, blind, n, { recordings, epsilon }) {
  if (!epsilon) {
    const cell = { pseudonym: "", days: [["", recordings]] };
    const [{ sound, rate }] = recoverCounts(masked, blind, n, [cell]);
    return { sound, rate };
  }
  const rateAt = BigInt(COUNT_SLOT_BITS * maxCells(bitLength(n)));
  const number = unmasked(masked, blind, n);
  const slots = [number & ((1n << rateAt) - 1n), number >> rateAt];
  const most = BigInt(recordings) + 2n * NOISE_OFFSET;
  const [sound, rate] = slots.map((slot) => {
    if (slot >> BigInt(COUNT_SLOT_BITS) || slot > most) throw new HushbeatError("opening-mismatch");
    return Number(slot - NOISE_OFFSET);
  });
  return { sound, rate };
}

/**
 * How far the noise of both servers moves each sum at most, 19 times of 20: the sum of two discrete
 * Laplace of scale b stays within 4.12 b.
 */
export function marginOf({ epsilon, cap }) {
  return epsilon ? Math.ceil((412 * 20 * cap) / epsilon) : 0;
}
