/** The account's page: login name, this browser's key, the code of a doctor or clinic. */

import { offerToCopy, showOwnCode } from "./copy.js";
import { byId, t } from "./page.js";
import { start } from "./start.js";

offerToCopy("login-name");
const identity = await start();
const state = byId("key-state");
if (state && identity) {
  const here = identity.state !== "elsewhere";
  state.textContent = here ? t(`account.key-${identity.keys.type}`) : t("account.key-elsewhere");
  state.dataset.tone = here ? "good" : "bad";
}
if (byId("doctor-code") && identity && identity.state !== "elsewhere") {
  await showOwnCode(identity.keys.root);
}
