// A search: between the form, the address (Jaeger's own parameters, so that its links work here) and the API's parameters.

import { options } from "/assets/common/dom.js";
import { fromRfc3339, isDuration } from "/assets/common/format.js";

/**
 * `lookback` may also be `all`, `custom` (`from` and `to`, as a datetime-local field has them) or `moment` (`at`, in nanoseconds since 1970:
 * what was in flight then); `errors` is "true" where a span must have failed; `durationOf` says whose times and durations count.
 */
export const DEFAULTS = {
  service: "", operation: "", tags: "", errors: "", lookback: "1h", from: "", to: "", at: "", minDuration: "", maxDuration: "",
  durationOf: "span", limit: "20", sort: "newest",
};
// The backend refuses to search deeper, and so does Jaeger.
export const MAX_LIMIT = 100_000;
const NOT_LOOKBACKS = ["all", "custom", "moment"];
const MINUTE_MS = 60_000;
const UNIT_MS = { s: 1000, m: MINUTE_MS, h: 60 * MINUTE_MS, d: 24 * 60 * MINUTE_MS, w: 7 * 24 * 60 * MINUTE_MS };

/** What a list of times offers, and what else its page knows. */
export const lookbacks = (...more) => options(
  ["5m", "Last 5 minutes"], ["15m", "Last 15 minutes"], ["1h", "Last hour"], ["6h", "Last 6 hours"], ["24h", "Last 24 hours"], ["2d", "Last 2 days"],
  ["all", "Everything stored"], ...more);

/** Milliseconds of "5m", "2d" …; undefined for anything else. */
export function lookbackMs(text) {
  const [, amount, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * UNIT_MS[unit];
}

/** Reads an address. One with both ends of the time, as Jaeger writes it, means just that window. */
export function fromAddress(search) {
  const parameters = new URLSearchParams(search);
  const query = { ...DEFAULTS };
  for (const name of ["service", "operation", "minDuration", "maxDuration", "durationOf", "limit", "sort", "lookback"]) {
    const value = parameters.get(name)?.trim();
    if (value) query[name] = value;
  }
  [query.tags, query.errors] = withoutErrors(parameters.get("tags") ?? "");
  const [start, end] = [parameters.get("start"), parameters.get("end")];
  // One that ends before it begins is none: to round it must not make it one.
  const [from, to] = [fromMicros(start, Math.floor), fromMicros(end, Number(end) < Number(start) ? Math.floor : Math.ceil)];
  if (from && to) Object.assign(query, { lookback: "custom", from, to });
  if (parameters.has("at")) Object.assign(query, { lookback: "moment", at: nanos(parameters.get("at").trim()) });
  if (!NOT_LOOKBACKS.includes(query.lookback) && lookbackMs(query.lookback) === undefined) query.lookback = DEFAULTS.lookback;
  if (query.durationOf !== "trace") query.durationOf = DEFAULTS.durationOf;
  // Jaeger's "all operations" is a value of its own.
  if (query.operation === "all") query.operation = "";
  return query;
}

export function toAddress(query) {
  const parameters = new URLSearchParams();
  const put = (name, value) => value !== "" && parameters.set(name, value);
  put("service", query.service);
  put("operation", query.operation);
  put("tags", attributes(query));
  put("minDuration", query.minDuration);
  put("maxDuration", query.maxDuration);
  if (query.durationOf !== DEFAULTS.durationOf) put("durationOf", query.durationOf);
  // The moment is all that needs to be said of when.
  if (query.lookback === "moment") put("at", query.at);
  else put("lookback", query.lookback);
  if (query.lookback === "custom") {
    put("start", toMicros(query.from));
    put("end", toMicros(query.to));
  }
  put("limit", query.limit);
  put("sort", query.sort);
  return `/search?${parameters}`;
}

/** The parameters of /api/v3/trace-summaries or, of a moment, /api/tracelab/in-flight, for so many traces. */
export function toApi(query, limit, now = Date.now()) {
  const conditions = {
    "query.serviceName": query.service,
    "query.operationName": query.operation,
    "query.attributes": attributes(query),
    "query.durationMin": query.minDuration,
    "query.durationMax": query.maxDuration,
    "query.durationOf": query.durationOf,
    "query.sortBy": query.sort,
  };
  if (query.lookback === "moment") return { at: query.at, limit, ...conditions };
  const custom = query.lookback === "custom";
  const lookback = lookbackMs(query.lookback);
  // Clocks differ: a trace that starts a little after our now is still one of "the last hour".
  const end = custom ? new Date(query.to) : new Date(now + MINUTE_MS);
  const start = custom ? new Date(query.from) : new Date(lookback === undefined ? 0 : now - lookback);
  return {
    ...conditions,
    "query.startTimeMin": start.toISOString(),
    "query.startTimeMax": end.toISOString(),
    "query.searchDepth": limit,
  };
}

/** The tags as JSON, with the one that errors have. */
function attributes({ tags, errors }) {
  const all = { ...parseTags(tags), ...(errors && { error: "true" }) };
  return Object.keys(all).length > 0 ? JSON.stringify(all) : "";
}

/** What is wrong with a query, by field; empty when nothing is. */
export function problems(query) {
  const found = {};
  try {
    parseTags(query.tags);
  } catch (error) {
    found.tags = error.message;
  }
  for (const name of ["minDuration", "maxDuration"]) {
    if (query[name] && !isDuration(query[name])) found[name] = "A number and a unit: 100ms, 1.2s, 500us.";
  }
  if (!/^[1-9]\d{0,5}$/.test(query.limit) || Number(query.limit) > MAX_LIMIT) found.limit = "A whole number from 1 to 100,000.";
  if (query.lookback === "custom") {
    const [from, to] = [Date.parse(query.from), Date.parse(query.to)];
    if (Number.isNaN(from) || Number.isNaN(to)) found.from = "Both times are needed.";
    else if (from >= to) found.from = "The first must be before the second.";
  }
  if (query.lookback === "moment" && !query.at) found.at = "A time is needed, to the second or finer.";
  return found;
}

/** Gives who has just asked for his own times the last hour, in whole seconds, to begin with. */
export function beginTimes({ lookback, from, to }) {
  if (lookback.value !== "custom" || to.value) return;
  [from.value, to.value] = [Date.now() - UNIT_MS.h, Date.now()].map((millis) => toLocal(millis).slice(0, 19));
}

/** `key=value other="two words" flag`, or a JSON object; a bare key means `true`. */
function parseTags(text) {
  text = text.trim();
  if (text.startsWith("{")) return parseJsonTags(text);
  const tags = {};
  let read = 0;
  for (const [match, key, value] of text.matchAll(/([^\s=]+)(?:=("(?:[^"\\]|\\.)*"(?!\S)|[^\s"]*)(?!\S))?\s*/gy)) {
    tags[key] = value === undefined ? "true" : unquote(value);
    read += match.length;
  }
  if (read < text.length) throw new Error(`Not key=value: ${text.slice(read)}`);
  return tags;
}

function parseJsonTags(text) {
  let tags;
  try {
    tags = JSON.parse(text);
  } catch {
    throw new Error('Not JSON: write {"key": "value"}, or key=value without braces.');
  }
  if (Object.values(tags).some((value) => typeof value === "object")) throw new Error("A tag's value is a text, a number or true or false.");
  return Object.fromEntries(Object.entries(tags).map(([key, value]) => [key, String(value)]));
}

/** A value in quotes is a JSON text, with all its escapes. */
function unquote(text) {
  if (!text.startsWith('"')) return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`Not a text in quotes as JSON has it: ${text}`);
  }
}

/** Tags of an address without the one that errors have, and whether it was among them: the form has a switch for it. */
function withoutErrors(text) {
  try {
    const { error, ...others } = parseTags(text);
    if (error === "true") return [tagsText(JSON.stringify(others)), "true"];
  } catch {
    // The form shows what is wrong with it.
  }
  return [tagsText(text), ""];
}

/** Tags of an address, which are JSON there, as a person would type them; as JSON where typing them would mean something else. */
function tagsText(text) {
  try {
    const tags = parseTags(text);
    const typed = Object.entries(tags).map(([key, value]) => `${key}=${/[\s"]/.test(value) || !value ? JSON.stringify(value) : value}`).join(" ");
    return JSON.stringify(parseTags(typed)) === JSON.stringify(tags) ? typed : text;
  } catch {
    return text;
  }
}

/** Milliseconds since the epoch as the value of a datetime-local field, which is in local time. */
export function toLocal(millis) {
  return new Date(millis - new Date(millis).getTimezoneOffset() * MINUTE_MS).toISOString().slice(0, -1);
}

/** As `toLocal`, of an address's microseconds; the field is not so fine, so that a window is rounded to where it loses nothing. */
function fromMicros(text, round) {
  return /^\d{1,16}$/.test(text ?? "") ? toLocal(round(Number(text) / 1000)) : "";
}

/** A moment of an address, in nanoseconds or as RFC 3339 has it, in nanoseconds; empty where it is none. */
function nanos(text) {
  if (/^\d{1,19}$/.test(text)) return text;
  const read = fromRfc3339(text);
  return read > 0n ? String(read) : "";
}

const toMicros = (local) => String(Date.parse(local) * 1000);
