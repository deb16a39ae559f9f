/** The page of the key holder's log: the account's own entries, newest first. */

import { ownLog } from "./log.js";
import { byId, explain, fromTemplate, page, t, timeText, tn } from "./page.js";
import { start } from "./start.js";

const MOST_AT_ONCE = 100;

const status = byId("log-status");
const identity = await start();
let rest = [];

if (identity?.state === "elsewhere") status.textContent = t("log.elsewhere");
else if (identity) await show();

async function show() {
  try {
    const { entries } = await ownLog(identity.keys);
    status.textContent = tn("log.checked", entries.length);
    rest = entries.reverse();
    byId("log").hidden = false;
    byId("older").addEventListener("click", showMore);
    showMore();
  } catch (error) {
    status.textContent = explain(error);
  }
}

function showMore() {
  byId("entries").append(...rest.splice(0, MOST_AT_ONCE).map(rowOf));
  byId("older").hidden = rest.length === 0;
}

function rowOf({ at, kind, actor, thumbprint, recordings }) {
  const what = kindText(kind, recordings);
  return fromTemplate("entry-row", { at: timeText(at), what, who: whoIs(actor, thumbprint) });
}

function kindText(kind, recordings) {
  if (kind === "tally") return tn("log.tally", recordings);
  if (kind === "cohort") return tn("log.cohort", recordings);
  const name = `log.${kind}`;
  return name in page.words ? t(name) : t("log.something", { kind });
}

function whoIs(actor, thumbprint) {
  if (actor === "aggregator") return t("log.operator");
  if (actor !== page.account.collector) return t(`log.other-${page.account.kind}`);
  return t(thumbprint === identity.keys.thumbprint ? "log.this-key" : "log.other-key");
}
