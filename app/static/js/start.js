/**
 * What every page of a patient or doctor begins with: can this browser do the cryptography, and
 * does it hold the account's keys? Problems are shown on the page, in words.
 */

import { adoptPasskey, ensureEnrolled, hasPasskey } from "./enrolment.js";
import { HushbeatError } from "./errors.js";
import { byId, clearNotice, explain, notify, t } from "./page.js";
import { endSession } from "./signer.js";
import { watch } from "./watch.js";

/** Answers `{state, keys}` as `ensureEnrolled` does, or null when the page cannot work here. */
export async function start() {
  // These work without a script too, and must end the session from as early on as they can.
  for (const form of document.querySelectorAll("[data-ends-visit]")) {
    form.addEventListener("submit", leave);
  }
  try {
    await checkBrowser();
    const identity = await ensureEnrolled(() => notify(t("enrolment.begun"), "busy"));
    if (identity.state === "new") notify(t(`enrolment.done-${identity.keys.type}`), "good");
    else clearNotice();
    if (identity.state === "elsewhere") showElsewhere();
    else watch(identity.keys);
    return identity;
  } catch (error) {
    notify(explain(error), "bad");
    return null;
  }
}

/** The session of a passkey ends with the visit. */
async function leave(event) {
  event.preventDefault();
  try {
    await endSession();
  } finally {
    event.target.submit();
  }
}

function showElsewhere() {
  byId("elsewhere").hidden = false;
  const button = byId("use-passkey");
  button.hidden = !hasPasskey();
  button.addEventListener("click", async () => {
    byId("use-problem").textContent = "";
    try {
      await adoptPasskey();
      location.reload();
    } catch (error) {
      byId("use-problem").textContent = explain(error);
    }
  });
}

/** WebCrypto with Ed25519 and X25519, and IndexedDB: every current browser, on https or localhost. */
async function checkBrowser() {
  if (!window.isSecureContext || !window.crypto?.subtle) throw new HushbeatError("not-secure");
  try {
    await Promise.all(
      ["Ed25519", "X25519"].map((name) => {
        const usages = name === "X25519" ? ["deriveBits"] : ["sign", "verify"];
        return crypto.subtle.generateKey({ name }, false, usages);
      }),
    );
  } catch {
    throw new HushbeatError("old-browser");
  }
  if (!window.indexedDB) throw new HushbeatError("no-storage");
}
