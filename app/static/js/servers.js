/** Calls to the two servers: the aggregator (this page's own) and the key holder. */

import { HushbeatError, ProblemError, UnreachableError } from "./errors.js";
import { page } from "./page.js";

export const TIMEOUT_MS = 30_000;
const LATER = new Set([408, 502, 503, 504]);
const TOO_LARGE = 413;

export const aggregator = {
  get: (path) => call("aggregator", "GET", path),
  post: (path, body) => call("aggregator", "POST", path, body),
  remove: (path, body) => call("aggregator", "DELETE", path, body),
};

export const keyholder = {
  get: (path) => call("keyholder", "GET", path),
  post: (path, body) => call("keyholder", "POST", path, body),
};

async function call(server, method, path, body) {
  const own = server === "aggregator";
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (own && method !== "GET") headers["X-CSRFToken"] = page.csrf;
  let response;
  try {
    response = await fetch(own ? path : page.keyholder.url + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: own ? "same-origin" : "omit",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new UnreachableError(server);
  }
  let text;
  try {
    text = await response.text();
  } catch {
    throw new UnreachableError(server); // the answer was cut off
  }
  if (!response.ok) throw refusal(server, response.status, text, response.headers.get("Retry-After"));
  return response.status === 204 ? null : success(text);
}

/** The JSON object of a success; a success that says nothing readable is an error. */
export function success(text) {
  const answer = objectIn(text);
  if (!answer) throw new HushbeatError("bad-message");
  return answer;
}

/**
 * The error of an answer that is not a success. Its text need not be problem details: a proxy in
 * front of the server answers with pages of its own.
 */
export function refusal(server, status, text, retryAfter = null) {
  const problem = objectIn(text) ?? {};
  const { type, detail } = problem;
  const slug = typeof type === "string" ? type.split(":").pop() : undefined;
  const behind = slug?.startsWith("keyholder-") ? "keyholder" : server;
  if (LATER.has(status)) return new UnreachableError(behind);
  if (server === "aggregator" && status === 401) return new HushbeatError("logged-out");
  const code = slug ?? (status === TOO_LARGE ? "recording-too-large" : String(status));
  return new ProblemError(server, status, code, detail, seconds(retryAfter), problem);
}

function objectIn(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Retry-After in seconds; its other form, a date, and nonsense count as not given. */
function seconds(retryAfter) {
  return /^\d+$/.test(retryAfter ?? "") ? Number(retryAfter) : undefined;
}
