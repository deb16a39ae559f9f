/** The page of keys and devices: this browser, others that ask, and every key of the account. */

import { connectThisBrowser } from "./connect.js";
import { letIn, refuse, removeKey } from "./devices.js";
import { doctorCode, thumbprint } from "./jws.js";
import { byId, explain, fromTemplate, part, pause, t, timeText, whenVisible } from "./page.js";
import { aggregator } from "./servers.js";
import { start } from "./start.js";

const EVERY_MS = 4_000;

const status = byId("keys-status");
const identity = await start();
const here = identity && identity.state !== "elsewhere";
let shown;

if (identity) {
  await attempt(() => showDevices());
  if (here) follow();
  else await attempt(connectThisBrowser);
}

/** New requests appear while somebody looks. */
async function follow() {
  for (;;) {
    await pause(EVERY_MS);
    await whenVisible();
    try {
      await showDevices();
    } catch (error) {
      status.textContent = explain(error);
      if (error.code === "logged-out") return;
    }
  }
}

async function showDevices() {
  const { devices, requests } = await aggregator.get("/api/devices");
  const now = JSON.stringify([devices, requests]);
  if (now === shown) return; // a question that is open stays open
  shown = now;
  byId("key-list").replaceChildren(...devices.map(deviceItem));
  const waiting = here ? requests.filter(({ approved }) => !approved) : [];
  byId("request-list").replaceChildren(...(await Promise.all(waiting.map(requestItem))));
  byId("requests").hidden = waiting.length === 0;
}

async function requestItem(asked) {
  // Not the code that the aggregator tells: the key is what is signed.
  const code = await doctorCode(await thumbprint(asked.key));
  const about = t(`keys.asks-${asked.type}`, { time: timeText(asked.requested_at) });
  const item = fromTemplate("request-item", { label: asked.label, about, code });
  const [yes, no] = [part(item, "yes"), part(item, "no")];
  decides(yes, () => letIn(identity.keys, asked), t("keys.let-in", { label: asked.label }));
  decides(no, () => refuse(asked.request), t("keys.refused", { label: asked.label }));
  return item;
}

function deviceItem(device, _, all) {
  const own = device.thumbprint === identity.keys.thumbprint;
  const label = device.label || t(device.root ? "keys.first" : "keys.unnamed");
  const about = t(`keys.${device.type}`, { time: timeText(device.added_at) });
  const item = fromTemplate("key-item", { label, about: own ? `${t("keys.own")} ${about}` : about });
  const [ask, sure, yes, no] = ["ask", "sure", "yes", "no"].map((name) => part(item, name));
  // A key ends any other one, never itself: one is always left.
  ask.hidden = !here || own || all.length === 1;
  ask.setAttribute("aria-label", t("keys.remove", { label }));
  const question = (open) => {
    sure.hidden = !open;
    ask.hidden = open;
    (open ? no : ask).focus();
  };
  ask.addEventListener("click", () => question(true));
  no.addEventListener("click", () => question(false));
  decides(
    yes,
    () => removeKey(identity.keys, device.thumbprint),
    t("keys.removed", { label }),
  );
  return item;
}

function decides(button, work, success) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    await attempt(async () => {
      await work();
      await showDevices();
    }, success);
    button.disabled = false;
  });
}

/** Does something and says how it went. */
async function attempt(work, success = "") {
  status.textContent = "";
  try {
    await work();
    if (success) status.textContent = success;
  } catch (error) {
    status.textContent = explain(error);
  }
}
