// A search: between the form, the address (Jaeger's own parameters, so that its links work here) and the API's parameters.

import { isDuration } from "/assets/common/format.js";

export const DEFAULTS = {
  service: "", operation: "", tags: "", lookback: "1h", from: "", to: "", minDuration: "", maxDuration: "", limit: "20", sort: "newest",
};
// The backend refuses to search deeper, and so does Jaeger.
const MAX_LIMIT = 100_000;
const MINUTE_MS = 60_000;
const UNIT_MS = { s: 1000, m: MINUTE_MS, h: 60 * MINUTE_MS, d: 24 * 60 * MINUTE_MS, w: 7 * 24 * 60 * MINUTE_MS };

/** Milliseconds of "5m", "2d" …; undefined for anything else. */
export function lookbackMs(text) {
  const [, amount, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * UNIT_MS[unit];
}

/** Reads an address. One with both ends of the time, as Jaeger writes it, means just that window. */
export function fromAddress(search) {
  const parameters = new URLSearchParams(search);
  const query = { ...DEFAULTS };
  for (const name of ["service", "operation", "minDuration", "maxDuration", "limit", "sort", "lookback"]) {
    const value = parameters.get(name)?.trim();
    if (value) query[name] = value;
  }
  query.tags = tagsText(parameters.get("tags") ?? "");
  const [from, to] = [fromMicros(parameters.get("start")), fromMicros(parameters.get("end"))];
  if (from && to) Object.assign(query, { lookback: "custom", from, to });
  if (!["all", "custom"].includes(query.lookback) && lookbackMs(query.lookback) === undefined) query.lookback = DEFAULTS.lookback;
  // Jaeger's "all operations" is a value of its own.
  if (query.operation === "all") query.operation = "";
  return query;
}

export function toAddress(query) {
  const parameters = new URLSearchParams();
  const put = (name, value) => value !== "" && parameters.set(name, value);
  put("service", query.service);
  put("operation", query.operation);
  if (query.tags) put("tags", JSON.stringify(parseTags(query.tags)));
  put("minDuration", query.minDuration);
  put("maxDuration", query.maxDuration);
  put("lookback", query.lookback);
  if (query.lookback === "custom") {
    put("start", toMicros(query.from));
    put("end", toMicros(query.to));
  }
  put("limit", query.limit);
  put("sort", query.sort);
  return `/search?${parameters}`;
}

/** The parameters of /api/v3/trace-summaries. */
export function toApi(query, now = Date.now()) {
  const custom = query.lookback === "custom";
  const lookback = lookbackMs(query.lookback);
  // Clocks differ: a trace that starts a little after our now is still one of "the last hour".
  const end = custom ? new Date(query.to) : new Date(now + MINUTE_MS);
  const start = custom ? new Date(query.from) : new Date(lookback === undefined ? 0 : now - lookback);
  return {
    "query.serviceName": query.service,
    "query.operationName": query.operation,
    "query.attributes": query.tags && JSON.stringify(parseTags(query.tags)),
    "query.startTimeMin": start.toISOString(),
    "query.startTimeMax": end.toISOString(),
    "query.durationMin": query.minDuration,
    "query.durationMax": query.maxDuration,
    "query.searchDepth": query.limit,
    "query.sortBy": query.sort,
  };
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
  return found;
}

/** `key=value other="two words" flag`, or a JSON object; a bare key means `true`. */
export function parseTags(text) {
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

/** Microseconds since the epoch as the value of a datetime-local field, which is in local time. */
function fromMicros(text) {
  if (!/^\d{1,16}$/.test(text ?? "")) return "";
  const date = new Date(Number(text) / 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * MINUTE_MS).toISOString().slice(0, -1);
}

const toMicros = (local) => String(Date.parse(local) * 1000);
