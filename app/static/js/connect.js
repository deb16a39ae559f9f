/** How a browser without a key of the account gets one: another device lets it in, or recovery. */

import { askToEnter, tryToEnter, withdraw } from "./devices.js";
import { keepStorage } from "./enrolment.js";
import { doctorCode } from "./jws.js";
import { forgetWaitingKey, passkey, softwareKey, takeKey, waitingKey } from "./keys.js";
import { byId, explain, now, page, pause, t, timeText, whenVisible } from "./page.js";
import { passkeysWork } from "./passkey.js";
import { beginRecovery, completeRecovery, followRecovery } from "./recovery.js";

const EVERY_MS = 2_000;

const status = byId("keys-status");

/** Goes on with what was begun in an earlier visit, or offers to begin. */
export async function connectThisBrowser() {
  const { login, thumbprint: root, keys } = page.account;
  const waiting = await waitingKey(login);
  if (keys.some(({ thumbprint }) => thumbprint === waiting?.key.thumbprint)) {
    // Both servers have it; only this browser was cut off.
    await takeKey(login, waiting.key, root);
    await forgetWaitingKey(login);
    location.reload();
  } else if (waiting) await goOnWith(waiting);
  else offer();
}

function offer() {
  const works = passkeysWork();
  const label = byId("label");
  label.value = deviceName();
  byId("connect").hidden = byId("lost").hidden = false;
  const connect = async (make) => askToEnter(await make(), label.value.trim() || deviceName());
  byId("connect").addEventListener("submit", (event) => event.preventDefault());
  offered("connect-passkey", works, () => connect(() => passkey(page.account)));
  offered("connect-browser", true, () => connect(softwareKey));
  offered("recover-passkey", works, async () => beginRecovery(await passkey(page.account)));
  offered("recover-browser", true, async () => beginRecovery(await softwareKey()));
}

/** A button that makes a key which then waits. Doctors have no button of recovery. */
function offered(id, usable, begin) {
  const button = byId(id);
  if (!button) return;
  button.hidden = !usable;
  button.addEventListener("click", () =>
    during(button, async () => {
      const waiting = await begin();
      await keepStorage();
      byId("connect").hidden = byId("lost").hidden = true;
      // What follows has buttons of its own.
      goOnWith(waiting).catch(say);
    }),
  );
}

async function goOnWith(waiting) {
  await (waiting.purpose === "device" ? waitAtTheDoor(waiting) : showRecovery(waiting));
}

async function waitAtTheDoor(waiting) {
  byId("waiting-code").textContent = await doctorCode(waiting.key.thumbprint);
  byId("waiting").hidden = false;
  let stopped = false;
  byId("waiting-stop").onclick = () =>
    during(byId("waiting-stop"), async () => {
      stopped = true;
      await withdraw(waiting);
      location.reload();
    });
  while (!stopped) {
    try {
      if (await tryToEnter(waiting)) {
        location.reload();
        return;
      }
      status.textContent = "";
    } catch (error) {
      if (stopped) return;
      if (error.status === 404) {
        await forgetWaitingKey(page.account.login);
        byId("waiting").hidden = true;
        offer();
        status.textContent = t("keys.not-let-in");
        return;
      }
      say(error);
      if (error.code === "logged-out") return;
    }
    await pause(EVERY_MS);
    await whenVisible();
  }
}

async function showRecovery(waiting) {
  byId("recovery-code").textContent = await doctorCode(waiting.key.thumbprint);
  byId("recovery").hidden = false;
  const [look, complete, forget] = ["look", "complete", "forget"].map((name) =>
    byId(`recovery-${name}`),
  );
  const show = async () => {
    const { approvers, completesAt } = await followRecovery(waiting);
    const over = completesAt !== null && completesAt <= now();
    complete.hidden = !over;
    look.hidden = over;
    byId("recovery-state").textContent = stateOf(approvers, completesAt, over);
  };
  look.onclick = () => during(look, show);
  complete.onclick = () =>
    during(complete, async () => {
      await completeRecovery(waiting);
      location.reload();
    });
  forget.onclick = () =>
    during(forget, async () => {
      await forgetWaitingKey(page.account.login);
      location.reload();
    });
  await during(look, async () => {
    try {
      await show();
    } catch (error) {
      if (error.code !== "recovery-over") throw error;
      await completeRecovery(waiting); // the key holder has done so, if nobody stopped it
      location.reload();
    }
  });
}

function stateOf(approvers, completesAt, over) {
  if (over) return t("recovery.over");
  if (completesAt !== null) return t("recovery.delay", { time: timeText(completesAt) });
  const doctors = approvers.filter((approver) => approver !== "aggregator").length;
  return t("recovery.approvals", {
    operator: t(approvers.length > doctors ? "recovery.yes" : "recovery.not-yet"),
    doctors,
  });
}

async function during(button, work) {
  button.disabled = true;
  status.textContent = "";
  try {
    await work();
  } catch (error) {
    say(error);
  } finally {
    button.disabled = false;
  }
}

function say(error) {
  status.textContent = explain(error);
}

/** A proposal, such as "Linux" or "iPhone". */
function deviceName() {
  const told = navigator.userAgentData?.platform || navigator.platform || "";
  return told.split(" ")[0].slice(0, 40) || "–";
}
