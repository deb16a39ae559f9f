/** The operator's page renews its figures, which the server renders, while somebody looks. */

import { HushbeatError, UnreachableError } from "./errors.js";
import { byId, explain, pause, whenVisible } from "./page.js";
import { TIMEOUT_MS, refusal } from "./servers.js";

const EVERY_MS = 4_000;

for (;;) {
  await pause(EVERY_MS);
  await whenVisible();
  const status = byId("operator-status");
  try {
    byId("figures").replaceChildren(...(await figures()));
    status.textContent = "";
  } catch (error) {
    status.textContent = explain(error);
    if (error.code === "logged-out") break;
  }
}

async function figures() {
  let response;
  let text;
  try {
    response = await fetch("/operator/figures", {
      cache: "no-store",
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await response.text();
  } catch {
    throw new UnreachableError("aggregator");
  }
  if (response.type === "opaqueredirect") throw new HushbeatError("logged-out");
  if (!response.ok) throw refusal("aggregator", response.status, text);
  const parsed = new DOMParser().parseFromString(text, "text/html");
  return parsed.body.childNodes;
}
