// Asks the query API. The pages read nothing but what a program would read too.

import { byName } from "/assets/common/format.js";

const TIMEOUT_MS = 60_000;

/** What went wrong, in the API's own words where it gave some. `status` is 0 when no answer came. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function getJson(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined));
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response;
  let text;
  try {
    response = await fetch(query.size > 0 ? `${path}?${query}` : path, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, timeout.aborted ? `No answer within ${TIMEOUT_MS / 1000} seconds` : "No connection");
  }
  if (!response.ok) throw new ApiError(response.status, errorMessage(text) || `${response.status} ${response.statusText}`);
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(response.status, "the answer is not JSON");
  }
}

/** Errors are JSON, of v3's shape or of the older API's, whatever their content type says. */
function errorMessage(text) {
  try {
    const body = JSON.parse(text);
    return body.error?.message ?? body.errors?.[0]?.msg ?? "";
  } catch {
    return text.trim().slice(0, 300);
  }
}

/** The names of all services, and of a service's operations, in their order. */
export const services = async () => ((await getJson("/api/v3/services")).services ?? []).sort(byName);

export async function operations(service) {
  const { operations = [] } = await getJson("/api/v3/operations", { service });
  return [...new Set(operations.map(({ name }) => name))].sort(byName);
}

export const summaries = async (query, signal) => (await getJson("/api/v3/trace-summaries", query, signal)).summaries ?? [];

export const inFlight = async (query, signal) => (await getJson("/api/tracelab/in-flight", query, signal)).summaries ?? [];

export const trace = (id) => getJson(`/api/v3/traces/${encodeURIComponent(id)}`);

/** What the end of a trace waited for: offsets from its start, in nanoseconds. */
export const criticalPath = (trace) => getJson("/api/tracelab/critical-path", { trace });

/** How long the spans of one kind took: all of them that are stored. */
export const distribution = (of, signal) => getJson("/api/tracelab/distribution", of, signal);

/** What `diagnose` says. */
export const suspects = (asked, signal) => getJson("/api/tracelab/suspects", asked, signal);

export const logs = async (traceID) => (await getJson("/api/logs", { traceID })).data ?? [];

/** Who calls whom in the traces that began after `start`, in microseconds since 1970; in all without. */
export const graph = (start) => getJson("/api/tracelab/graph", { start });
