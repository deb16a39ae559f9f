/**
 * Signs in the name of this browser's keys. A key that the browser keeps signs at once; a passkey is
 * asked for once a visit, and a key of that session signs until its certificate runs out.
 */

import { sign as signWith } from "./jws.js";
import { forgetKey } from "./keys.js";
import { newSession } from "./passkey.js";
import { byId, explain, now, page } from "./page.js";
import { read, remove, write } from "./store.js";

/** What is signed with a session must arrive before it ends, and a statement lives so long. */
const SPARE_SECONDS = 300;

const waiting = [];
let asking;

/** The payload as a JWS of that type by one of the account's keys. */
export async function sign(typ, payload, keys) {
  return signWith(typ, payload, await signerOf(keys));
}

/** Resolves once `sign` needs nobody any more: asks for the passkey if it has to be. */
export async function ready(keys) {
  await signerOf(keys);
}

/** Resolves as soon as that is so, without asking: perhaps never. */
export async function whenReady(keys) {
  if (keys.type === "passkey" && !(await kept(keys))) {
    await new Promise((resolve) => waiting.push(resolve));
  }
}

/** Keeps a session that `keys` have begun, for the pages of this visit. */
export async function keepSession(keys, session) {
  await write("sessions", page.account.login, { ...session, thumbprint: keys.thumbprint });
  waiting.splice(0).forEach((resolve) => resolve());
}

/** Asks for the passkey right now; where browsers want a click for it, it may fail. */
export async function beginSession(keys) {
  await keepSession(keys, await newSession(keys.credential, page.account.collector));
}

/** The visit is over: its session cannot sign any more. */
export function endSession() {
  return remove("sessions", page.account.login);
}

async function signerOf(keys) {
  if (keys.type !== "passkey") return keys;
  const { privateKey, certificate } = await sessionOf(keys);
  return { privateKey, certificate, thumbprint: keys.thumbprint };
}

async function sessionOf(keys) {
  const present = await kept(keys);
  if (present) return present;
  asking ??= clicked(keys).finally(() => (asking = undefined));
  await asking;
  return kept(keys);
}

async function kept(keys) {
  const session = await read("sessions", page.account.login);
  const usable = session?.thumbprint === keys.thumbprint && session.exp - SPARE_SECONDS > now();
  return usable ? session : undefined;
}

/** Shows the page's button for the passkey until it was used. */
function clicked(keys) {
  const [notice, button, problem] = ["unlock", "unlock-now", "unlock-problem"].map(byId);
  notice.hidden = false;
  byId("unlock-forget").onclick = async () => {
    await forgetKey(page.account.login);
    location.reload();
  };
  return new Promise((resolve) => {
    button.onclick = async () => {
      button.disabled = true;
      problem.textContent = "";
      try {
        await beginSession(keys);
        notice.hidden = true;
        resolve();
      } catch (error) {
        problem.textContent = explain(error);
        byId("unlock-forget").hidden = false;
      } finally {
        button.disabled = false;
      }
    };
  });
}
