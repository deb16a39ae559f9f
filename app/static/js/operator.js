/** The operator's page renews its figures, which the server renders, while somebody looks. */

import { byId, explain, pause, whenVisible } from "./page.js";
import { HushbeatError, UnreachableError } from "./errors.js";

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
  try {
    response = await fetch("/operator/figures", { cache: "no-store", redirect: "manual" });
  } catch {
    throw new UnreachableError("aggregator");
  }
  if (!response.ok) throw new HushbeatError("logged-out");
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
  return parsed.body.childNodes;
}
