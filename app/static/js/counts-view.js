/** Opened counts on the page: sentences, a small chart and the table that says the same. */

import { byId, dayText, fromTemplate, number, part, shortDayText, t, tn } from "./page.js";

const SVG = "http://www.w3.org/2000/svg";
const CHART = { height: 168, left: 30, right: 8, top: 12, bottom: 24 };
const LABEL_WIDTH = 56;
const MOST_DAYS = 31;

let draw = () => {};
window.addEventListener("resize", () => draw());

/** Shows cells as `openTallies` answers them, oldest first; `older` marks one of several days. */
export function showCounts(cells) {
  const total = (name) => cells.reduce((sum, cell) => sum + cell[name], 0);
  const recordings = total("recordings");
  byId("counts").hidden = recordings === 0;
  byId("no-counts").hidden = recordings > 0;
  for (const finding of ["sound", "rate"]) {
    const tile = byId(`total-${finding}`);
    part(tile, "count").textContent = number(total(finding));
    part(tile, "of").textContent = tn("counts.of", recordings);
  }
  byId("days").replaceChildren(...cells.toReversed().map(row));
  draw = () => {
    const box = byId("chart");
    if (box.clientWidth === 0) return; // not shown
    box.replaceChildren(chart(cells.filter((cell) => cell.days.length === 1), box.clientWidth));
  };
  draw();
}

function row(cell) {
  const { days } = cell;
  const when =
    days.length === 1 ? dayText(days[0]) : t("counts.until", { day: dayText(days.at(-1)) });
  return fromTemplate("day-row", {
    day: when,
    recordings: number(cell.recordings),
    sound: number(cell.sound),
    rate: number(cell.rate),
  });
}

/** Three bars a day that has recordings: recordings, abnormal in sound, abnormal in rate. */
function chart(cells, width) {
  const shown = cells.slice(-MOST_DAYS);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${CHART.height}`, class: "chart" });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", t("counts.chart"));
  const most = Math.max(1, ...shown.map((cell) => cell.recordings));
  const bottom = CHART.height - CHART.bottom;
  const scale = (bottom - CHART.top) / most;
  for (const level of most === 1 ? [1] : [Math.ceil(most / 2), most]) {
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
