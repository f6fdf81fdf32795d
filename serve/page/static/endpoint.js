// Requests to the endpoint that this page came from, with the key that it may ask for.

const STORED = "lifecycle-key";

/** What the endpoint answered instead of what was asked for. */
export class Refused extends Error {
  constructor(status, text, requestId) {
    super(text);
    this.status = status;
    this.requestId = requestId;
  }
  get wantsKey() {
    return this.status === 401 || this.status === 403;
  }
}

export const key = {
  get: () => sessionStorage.getItem(STORED) ?? "",
  set: (text) => (text ? sessionStorage.setItem(STORED, text) : sessionStorage.removeItem(STORED)),
};

/** JSON of a path of this origin, and how long it took in milliseconds. */
export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  headers.set("Accept", "application/json");
  if (key.get()) headers.set("Authorization", `Bearer ${key.get()}`);
  const started = performance.now();
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch {
    throw new Refused(0, "The endpoint does not answer. Is it still running?", "");
  }
  const elapsed = performance.now() - started;
  const content = await response.json().catch(() => null);
  if (response.ok && content) return { content, elapsed };
  const text = content?.error ?? `The endpoint answered ${response.status} ${response.statusText}.`;
  const wait = response.headers.get("Retry-After");
  throw new Refused(response.status, wait ? `${text}\nTry again in ${wait} s.` : text, content?.request_id ?? "");
}
