/**
 * What the server gave this page: account, key holder, CSRF token and every text in the reader's
 * language. It is a block of JSON, which is never executed, so the content security policy allows it.
 */

export const page = JSON.parse(document.getElementById("page-data").textContent);

// Certificates are checked against the servers' clocks: this browser's may be wrong.
const ahead = Math.round(Date.now() / 1000) - page.now;

/** The servers' time in Unix seconds, as far as the page knows. */
export const now = () => Math.floor(Date.now() / 1000) - ahead;

/** The text of that name with its `{placeholders}` filled. */
export function t(name, values = {}) {
  const text = page.words[name];
  if (text === undefined) throw new Error(`no text named ${name} on this page`);
  return text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

// The page's language as the reader's country writes it: 3 May or May 3.
const locale =
  navigator.languages.find((tag) => tag.split("-")[0] === page.language) ?? page.language;
const plural = new Intl.PluralRules(locale);

/** The text `name.one` or `name.other`, as the language wants it for that number. */
export function tn(name, count, values = {}) {
  const form = plural.select(count) === "one" ? "one" : "other";
  return t(`${name}.${form}`, { count: number(count), ...values });
}

/** What to tell a person about an error: known codes have a text, the rest the general one. */
export function explain(error) {
  const known = error.code && page.words[`error.${error.code}`];
  if (known) return t(`error.${error.code}`, error.values);
  if (!error.code) console.error(error);
  return t("error.problem", { code: error.code ?? error.name });
}

const numbers = new Intl.NumberFormat(locale);
const days = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" });
const shortDays = new Intl.DateTimeFormat(locale, {
  day: "numeric",
  month: "short",
  timeZone: "UTC",
});
const months = new Intl.DateTimeFormat(locale, { month: "long", year: "numeric", timeZone: "UTC" });
const times = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

export const number = (value) => numbers.format(value);
export const dayText = (day) => days.format(new Date(`${day}T00:00:00Z`));
export const monthText = (month) => months.format(new Date(`${month}-01T00:00:00Z`));
export const shortDayText = (day) => shortDays.format(new Date(`${day}T00:00:00Z`));
export const timeText = (seconds) => times.format(new Date(seconds * 1000));

/** The reader's local day of a moment as YYYY-MM-DD. */
export function localDay(date = new Date()) {
  const two = (value) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export const byId = (id) => document.getElementById(id);

/** A copy of the `<template>` of that id; `fill` sets the text of its `data-part` elements. */
export function fromTemplate(id, fill = {}) {
  const element = byId(id).content.firstElementChild.cloneNode(true);
  for (const [name, text] of Object.entries(fill)) part(element, name).textContent = text;
  return element;
}

/** The element marked `data-part="name"` inside another. */
export const part = (element, name) => element.querySelector(`[data-part="${name}"]`);

/**
 * Listens to a control, or to a form, and only then switches it on: in the HTML whatever needs a
 * script is disabled (a form by the `<fieldset>` around all of it), so that nothing which is pressed
 * or typed before somebody listens gets lost.
 */
export function listen(control, type, listener) {
  control.addEventListener(type, listener);
  (control.querySelector(":scope > fieldset") ?? control).disabled = false;
}

/** Shows a message where the page has room for it; screen readers hear it. */
export function notify(text, tone = "plain") {
  const notice = byId("notice");
  notice.textContent = text;
  notice.dataset.tone = tone;
  notice.hidden = false;
}

export function clearNotice() {
  byId("notice").hidden = true;
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Resolves at once while the page can be seen, else when it is next looked at. */
export function whenVisible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true });
  });
}
