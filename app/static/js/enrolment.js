/**
 * Makes this browser's key on the first visit of an account and has it pinned at both servers. It is
 * safe to repeat at any point: the key stays, and both servers answer the same again.
 */

import { sha256Hex } from "./bytes.js";
import { HushbeatError } from "./errors.js";
import { claimed } from "./jws.js";
import { markEnrolled, ownKeys, ownKeysOrNew, passkey, softwareKey, takeKey } from "./keys.js";
import { byId, explain, page } from "./page.js";
import { chosenPasskey, passkeysWork } from "./passkey.js";
import { aggregator, keyholder } from "./servers.js";
import { beginSession, keepSession, sign } from "./signer.js";

/**
 * Answers `{state, keys}`: "ready", "new" (enrolled just now) or "elsewhere": none of the account's
 * keys is in this browser, so it can neither open nor consent; then `keys` only derive ids.
 */
export async function ensureEnrolled(onBegin = () => {}) {
  const { login, keys: pinned } = page.account;
  const held = await ownKeys(login);
  const here = pinned.some(({ thumbprint }) => thumbprint === held?.thumbprint);
  if (pinned.length > 0 && !here) {
    return { state: "elsewhere", keys: held ?? (await ownKeysOrNew(login)) };
  }
  if (here && held.enrolled) return { state: "ready", keys: withRoot(held) };
  const keys = held?.jwk ? held : await chosenKeys(login);
  onBegin(keys);
  await enrol(keys);
  await markEnrolled(login);
  await keepStorage();
  return { state: "new", keys: withRoot(keys) };
}

/** Whether a passkey of the account can be used in a browser that holds no key of it. */
export const hasPasskey = () =>
  passkeysWork() && page.account.keys.some(({ type }) => type === "passkey");

/** Lets the person choose one of the account's passkeys, and uses it in this browser from now on. */
export async function adoptPasskey() {
  const { login, collector, thumbprint: root, keys } = page.account;
  const jwks = keys.filter(({ type }) => type === "passkey").map(({ key }) => key);
  const { passkey: found, session } = await chosenPasskey(collector, jwks);
  const key = { type: "passkey", ...found };
  await takeKey(login, key, root);
  await keepSession(key, session);
  await keepStorage();
}

/** Browsers throw away what pages store when space runs out, unless they promised not to. */
export async function keepStorage() {
  await navigator.storage?.persist?.();
}

/** Keys of a time when there was one an account remember no root. */
const withRoot = (keys) => ({ ...keys, root: keys.root ?? keys.thumbprint });

async function enrol(keys) {
  const { statement } = await aggregator.post("/api/enrolments", {
    key: keys.jwk,
    ...(keys.type === "passkey" && { type: keys.type }),
  });
  const { jti } = claimed(statement);
  const proof = await sign(
    "hushbeat-enrolment-proof",
    { statement_sha256: await sha256Hex(statement), jti },
    keys,
  );
  await keyholder.post("/v1/enrolments", { statement, proof, key: keys.jwk });
}

/** A passkey where they work, or a key that the browser keeps: the person's choice. */
async function chosenKeys(login) {
  if (!passkeysWork()) return ownKeysOrNew(login, softwareKey);
  const [notice, problem] = ["choose-key", "choose-problem"].map(byId);
  const [one, other] = ["choose-passkey", "choose-browser"].map(byId);
  notice.hidden = false;
  return new Promise((resolve) => {
    const offer = (button, make) => {
      button.onclick = async () => {
        one.disabled = other.disabled = true;
        problem.textContent = "";
        try {
          resolve(await make());
          notice.hidden = true;
        } catch (error) {
          problem.textContent = explain(error);
        }
        one.disabled = other.disabled = false;
      };
    };
    offer(one, async () => {
      const keys = await ownKeysOrNew(login, () => passkey(page.account));
      // Usually the click of a moment ago still counts; else the page asks for another.
      await beginSession(keys).catch(unlessDeclined);
      return keys;
    });
    offer(other, () => ownKeysOrNew(login, softwareKey));
  });
}

function unlessDeclined(error) {
  if (!(error instanceof HushbeatError)) throw error;
}
