/** Which days to open, and how they share the cells of one opening. */

import { aggregator } from "./servers.js";

const ALWAYS = { first: "1900-01-01", last: "9999-12-31" };

/** Days with counted recordings, oldest first; of a patient's own, or of a consenting patient. */
export async function daysWithRecordings(window = {}) {
  const query = new URLSearchParams({ ...ALWAYS, ...window });
  const { days } = await aggregator.get(`/api/tallies?${query}`);
  return days
    .filter(([, recordings]) => recordings > 0)
    .map(([day]) => day)
    .sort();
}

/** A cell for each of the newest days; all older days share the first cell. */
export function cellsByDay(pseudonym, days, most) {
  const single = days.length <= most ? days : days.slice(days.length - most + 1);
  const older = days.slice(0, days.length - single.length);
  const groups = older.length > 0 ? [older, ...single.map((day) => [day])] : single.map((day) => [day]);
  return groups.map((group) => ({ pseudonym, days: group }));
}
