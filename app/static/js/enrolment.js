/**
 * Makes this browser's keys on the first visit of an account and has them pinned at both servers.
 * It is safe to repeat at any point: the keys stay, and both servers answer the same again.
 */

import { fromUtf8, sha256Hex, unb64u } from "./bytes.js";
import { sign } from "./jws.js";
import { markEnrolled, ownKeys, ownKeysOrNew } from "./keys.js";
import { page } from "./page.js";
import { aggregator, keyholder } from "./servers.js";

/**
 * Answers `{state, keys}`: "ready", "new" (enrolled just now) or "elsewhere": the account's key is
 * in another browser, so this one can neither open nor consent; then `keys` only derive ids.
 */
export async function ensureEnrolled(onBegin = () => {}) {
  const { login, thumbprint } = page.account;
  const held = await ownKeys(login);
  const elsewhere = thumbprint && held?.thumbprint !== thumbprint;
  if (elsewhere) return { state: "elsewhere", keys: held ?? (await ownKeysOrNew(login)) };
  if (thumbprint && held.enrolled) return { state: "ready", keys: held };
  onBegin();
  const keys = await ownKeysOrNew(login);
  await enrol(keys);
  await markEnrolled(login);
  // Browsers throw away what pages store when space runs out, unless they promised not to.
  await navigator.storage?.persist?.();
  return { state: "new", keys };
}

async function enrol(keys) {
  const { statement } = await aggregator.post("/api/enrolments", { key: keys.jwk });
  const { jti } = JSON.parse(fromUtf8(unb64u(statement.split(".")[1])));
  const proof = await sign(
    "hushbeat-enrolment-proof",
    { statement_sha256: await sha256Hex(statement), jti },
    keys,
  );
  await keyholder.post("/v1/enrolments", { statement, proof, key: keys.jwk });
}
