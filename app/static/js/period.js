/** The window that a doctor looks at: the last so many days, or two dates. */

import { byId, listen, localDay } from "./page.js";

/** Calls `onChange({first, last})` at once and whenever another window is chosen. */
export function choosePeriod(onChange) {
  const [choice, first, last] = ["period", "first", "last"].map(byId);
  const own = byId("own-period");
  const changed = () => {
    own.hidden = choice.value !== "own";
    if (choice.value !== "own") {
      const start = new Date();
      start.setDate(start.getDate() - Number(choice.value) + 1);
      first.value = localDay(start);
      last.value = localDay();
    }
    first.max = last.value;
    last.min = first.value;
    if (first.value && last.value && first.value <= last.value) {
      onChange({ first: first.value, last: last.value });
    }
  };
  for (const field of [choice, first, last]) listen(field, "change", changed);
  changed();
}
