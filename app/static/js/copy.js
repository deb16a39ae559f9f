/** Buttons that copy a text: `data-copy` names the element that holds it. */

import { byId, t } from "./page.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId(button.dataset.copy).textContent.trim());
    byId("said").textContent = t("copied");
    button.dataset.done = "true";
  });
}
