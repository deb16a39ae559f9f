/** Buttons that copy a text: `data-copy` names the element that holds it. */

import { doctorCode } from "./jws.js";
import { byId, t } from "./page.js";

/** Shows the code of a doctor or clinic, which can be copied from then on. */
export async function showOwnCode(root) {
  byId("doctor-code").textContent = await doctorCode(root);
  offerToCopy("doctor-code");
}

/** Shows the button that copies the text of that element, which must be there by now. */
export function offerToCopy(id) {
  const button = document.querySelector(`[data-copy="${id}"]`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId(button.dataset.copy).textContent.trim());
    byId("said").textContent = t("copied");
    button.dataset.done = "true";
  });
  button.hidden = !navigator.clipboard;
}
