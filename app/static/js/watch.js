/**
 * Looks now and then into the key holder's log: whether somebody is putting a new key in the place of
 * the account's, and whether the history is still the one that this browser saw. The aggregator could
 * keep quiet about both.
 */

import { doctorCode } from "./jws.js";
import { newsOfLog } from "./log.js";
import { byId, explain, fromTemplate, notify, now, page, part, t, timeText } from "./page.js";
import { cancelRecovery } from "./recovery.js";
import { whenReady } from "./signer.js";

/** In one tab; an alarm must be seen within the days that a recovery takes. */
const EVERY_SECONDS = 600;

const memory = `hushbeat-watched ${page.account?.login}`;

/** Shows an alarm for every recovery that could complete. Never asks for a passkey by itself. */
export async function watch(keys) {
  await whenReady(keys);
  try {
    await showAlarms(keys, await recoveries(keys));
  } catch (error) {
    // What is not an answer of the key holder's log is said where the page needs the key holder.
    if (error.code === "log-broken" || error.code === "bad-signature") notify(explain(error), "bad");
  }
}

async function recoveries(keys) {
  const known = JSON.parse(sessionStorage.getItem(memory) ?? "null");
  if (known && now() - known.at < EVERY_SECONDS) return known.recoveries;
  const { recoveries: found } = await newsOfLog(keys);
  sessionStorage.setItem(memory, JSON.stringify({ at: now(), recoveries: found }));
  return found;
}

async function showAlarms(keys, found) {
  const items = await Promise.all(found.map((recovery) => alarm(keys, recovery)));
  byId("alarms").replaceChildren(...items);
}

async function alarm(keys, { recovery, thumbprint, completes_at: completesAt }) {
  const when = completesAt
    ? t("recovery.alarm-delay", { time: timeText(completesAt) })
    : t("recovery.alarm-asked");
  const item = fromTemplate("alarm", { code: await doctorCode(thumbprint), when });
  const stop = part(item, "stop");
  stop.addEventListener("click", async () => {
    stop.disabled = true;
    part(item, "problem").textContent = "";
    try {
      await cancelRecovery(keys, recovery);
      sessionStorage.removeItem(memory);
      item.remove();
      notify(t("recovery.stopped"), "good");
    } catch (error) {
      part(item, "problem").textContent = explain(error);
      stop.disabled = false;
    }
  });
  return item;
}
