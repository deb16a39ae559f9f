/** Calls to the two servers: the aggregator (this page's own) and the key holder. */

import { HushbeatError, ProblemError, UnreachableError } from "./errors.js";
import { page } from "./page.js";

const TIMEOUT_MS = 30_000;
const LATER = new Set([502, 503, 504]);

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
  if (!response.ok) throw refusal(server, response.status, await problemOf(response));
  return response.status === 204 ? null : response.json();
}

/** The error of an answer that is not a success. */
export function refusal(server, status, problem) {
  const slug = problem.type?.split(":").pop();
  const behind = slug?.startsWith("keyholder-") ? "keyholder" : server;
  if (LATER.has(status)) return new UnreachableError(behind);
  if (server === "aggregator" && status === 401) return new HushbeatError("logged-out");
  return new ProblemError(server, status, slug, problem.detail);
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return {};
  }
}
