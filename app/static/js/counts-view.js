/** Opened counts on the page: sentences, a small chart and the table that says the same. */

import { byId, dayText, fromTemplate, number, part, shortDayText, t, tn } from "./page.js";

const SVG = "http://www.w3.org/2000/svg";
const CHART = { height: 168, left: 30, right: 8, top: 12, bottom: 24 };
const LABEL_WIDTH = 56;
const MOST_DAYS = 31;
const MOST_STEPS = 4;

let draw = () => {};
window.addEventListener("resize", () => draw());

/** Shows cells as `openTallies` answers them, oldest first. */
export function showCounts(cells) {
  byId("counts").hidden = cells.length === 0;
  byId("no-counts").hidden = cells.length > 0;
  showTotal("sound", cells);
  showTotal("rate", cells);
  byId("counts-note").textContent = noteOn(cells);
  byId("days").replaceChildren(...cells.toReversed().map(row));
  draw = () => {
    const box = byId("chart");
    if (box.clientWidth === 0) return; // not shown
    box.replaceChildren(chart(cells.filter((cell) => cell.days.length === 1), box.clientWidth));
  };
  draw();
}

/** What of these cells could not be opened, in a sentence; mostly nothing. */
export function noteOn(cells) {
  if (cells.some((cell) => cell.denied)) return t("error.not-granted");
  const closed = cells.reduce((sum, cell) => sum + cell.closed.length, 0);
  return closed > 0 ? tn("counts.closed", closed) : "";
}

/** The three numbers of a cell, in words where there is no number to show. */
export function numbersOf({ days, recordings, sound, rate }) {
  if (days.length === 0) return { recordings: "–", sound: "–", rate: "–" };
  return { recordings: number(recordings), sound: number(sound), rate: number(rate) };
}

function showTotal(finding, cells) {
  const total = (name) => cells.reduce((sum, cell) => sum + cell[name], 0);
  const tile = byId(`total-${finding}`);
  part(tile, "count").textContent = number(total(finding));
  part(tile, "of").textContent = tn("counts.of", total("recordings"));
}

function row(cell) {
  const days = [...cell.days, ...cell.closed].sort();
  const when =
    days.length === 1 ? dayText(days[0]) : t("counts.until", { day: dayText(days.at(-1)) });
  const closed = cell.closed.length > 0 ? t("counts.not-now") : "";
  return fromTemplate("day-row", { day: when, closed, ...numbersOf(cell) });
}

/** Three bars a day that has recordings: recordings, abnormal in sound, abnormal in rate. */
function chart(cells, width) {
  const shown = cells.slice(-MOST_DAYS);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${CHART.height}`, class: "chart" });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", t("counts.chart"));
  const levels = ticks(Math.max(1, ...shown.map((cell) => cell.recordings)));
  const bottom = CHART.height - CHART.bottom;
  const scale = (bottom - CHART.top) / levels.at(-1);
  for (const level of levels) {
    const y = bottom - level * scale;
    svg.append(shape("line", { x1: CHART.left, x2: width - CHART.right, y1: y, y2: y }));
    svg.append(label(CHART.left - 8, y + 4, number(level), "end"));
  }
  const step = (width - CHART.left - CHART.right) / Math.max(shown.length, 7);
  const bar = Math.min(14, step / 4);
  const every = Math.ceil(LABEL_WIDTH / step);
  shown.forEach((cell, i) => {
    const middle = CHART.left + (i + 0.5) * step;
    ["recordings", "sound", "rate"].forEach((name, k) => {
      const height = cell[name] * scale;
      const x = middle + (k - 1.5) * bar;
      svg.append(
        shape("rect", { x, y: bottom - height, width: bar * 0.86, height, class: `bar-${name}`, rx: 1 }),
      );
    });
    if (i % every === 0) svg.append(label(middle, CHART.height - 6, shortDayText(cell.days[0])));
  });
  svg.append(
    shape("line", {
      x1: CHART.left,
      x2: width - CHART.right,
      y1: bottom,
      y2: bottom,
      class: "axis",
    }),
  );
  return svg;
}

/** Whole numbers from 0 to at least `most`, evenly spaced by 1, 2 or 5 times a power of ten. */
export function ticks(most) {
  let step = 1;
  for (let k = 0; most > MOST_STEPS * step; k++) step = [1, 2, 5][k % 3] * 10 ** Math.floor(k / 3);
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, k) => k * step);
}

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function label(x, y, text, anchor = "middle") {
  const element = shape("text", { x, y, "text-anchor": anchor });
  element.textContent = text;
  return element;
}
