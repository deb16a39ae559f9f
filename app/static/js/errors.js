/**
 * What can go wrong in the browser. `code` is the name of a text that the page brings along
 * (`error.<code>`); `values` fill its placeholders.
 */
export class HushbeatError extends Error {
  constructor(code, values = {}) {
    super(code);
    this.name = "HushbeatError";
    this.code = code;
    this.values = values;
  }
}

/**
 * An answer of one of the two servers that says no (RFC 9457). `retryAfter`, in seconds, is set if
 * the server said when to try again; `grant` if the problem names the one that is in force, `pseudonym` if it
 * names whom it is about.
 */
export class ProblemError extends HushbeatError {
  constructor(server, status, slug, detail, retryAfter, { grant, pseudonym } = {}) {
    super(slug || "problem", { server, status, detail });
    this.name = "ProblemError";
    this.status = status;
    this.detail = detail;
    this.retryAfter = retryAfter;
    this.grant = grant;
    this.pseudonym = pseudonym;
  }
}

/** No answer at all, or one that says "later": worth another try with the same bytes. */
export class UnreachableError extends HushbeatError {
  constructor(server) {
    super(`${server}-unreachable`, { server });
    this.name = "UnreachableError";
  }
}
