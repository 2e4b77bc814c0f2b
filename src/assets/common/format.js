// Durations, times and counts, in the reader's locale. A duration is nanoseconds, as in OTLP, where no other unit is said.

const NO_BREAK_SPACE = "\u00a0";
const UNITS = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];
const number = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 });
const percentage = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const two = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const time = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export function duration(ns) {
  if (ns === 0) return `0${NO_BREAK_SPACE}ms`;
  // What would be rounded up to a thousand of one unit is one of the next.
  const [unit, size] = UNITS.find(([, size]) => Math.abs(ns) >= size * 0.99995) ?? UNITS.at(-1);
  return `${number.format(ns / size)}${NO_BREAK_SPACE}${unit}`;
}

/** By how much something takes longer or less long; the minus is the typographer's, as wide as the plus. */
export const change = (ns) => (ns === 0 ? "±0" : `${ns > 0 ? "+" : "−"}${duration(Math.abs(ns))}`);

export const share = (part) => percentage.format(part);

/** "1 span", "1,234 spans". */
export function counted(n, single, many = `${single}s`) {
  return `${whole.format(n)} ${n === 1 ? single : many}`;
}

export const count = (n) => whole.format(n);

/** A number of milliseconds without its unit, with fewer digits the more there are. */
export const ms = (number) => (number < 10 ? two : number < 1000 ? one : whole).format(number);

/** A number of milliseconds in as few characters as tell it from others: 9.9 ms, 35 ms, 1.14 s, 12.3 s. */
export function brief(milliseconds) {
  const [written, unit] = milliseconds < 9.95 ? [one.format(milliseconds), "ms"]
    : milliseconds < 999.5 ? [whole.format(milliseconds), "ms"] : [(milliseconds < 9995 ? two : one).format(milliseconds / 1000), "s"];
  return `${written}${NO_BREAK_SPACE}${unit}`;
}

export const perSecond = (number) => (number < 100 ? one : whole).format(number);

/** How long people waited, in seconds: 12.3 s, 4:05 or 1:04:05. */
export const elapsed = (seconds) => (seconds < 60 ? `${one.format(seconds)}${NO_BREAK_SPACE}s` : colons(Math.floor(seconds)));

/** Seconds as a clock on a wall shows what is left: 0:07, 4:05, 1:04:05. */
export const clock = (seconds) => colons(Math.ceil(seconds));

function colons(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (parts[0] === 0) parts.shift();
  return parts.map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}

/** Milliseconds since the epoch of a time in nanoseconds, which does not fit a double. */
export function toMillis(ns) {
  return Number(ns / 1_000_000n);
}

/** Nanoseconds since the epoch of a time in text, all nine digits of it. */
export function fromRfc3339(text) {
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? "";
  const millis = Date.parse(text.replace(/\.\d+/, ""));
  return Number.isNaN(millis) ? 0n : BigInt(millis) * 1_000_000n + BigInt(fraction.padEnd(9, "0").slice(0, 9));
}

export function dateTime(ns) {
  const millis = toMillis(ns);
  // Beyond this a Date is invalid and formatting it throws; a clock that is so wrong is worth seeing as it is.
  return Math.abs(millis) > 8.64e15 ? `${ns}${NO_BREAK_SPACE}ns` : time.format(millis);
}

export function ago(ns, now = Date.now()) {
  const seconds = (toMillis(ns) - now) / 1000;
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return relative.format(Math.trunc(seconds / size), unit);
}

/** Writes milliseconds since the epoch that are `step` apart: the time of day as far as it differs, or the day. */
export function clockTime(step) {
  const day = { month: "short", day: "numeric" };
  const clock = { hour: "2-digit", minute: "2-digit" };
  if (step < 60_000) clock.second = "2-digit";
  if (step < 1000) clock.fractionalSecondDigits = 3;
  const format = new Intl.DateTimeFormat(undefined, step < 86_400_000 ? clock : day);
  return (millis) => format.format(millis);
}

const days = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** The day, or the first and the last, of milliseconds since the epoch. */
export const dayRange = (from, to) => days.formatRange(from, to);

/** Puts names into order: dummy-0-9 before dummy-0-10. */
export const byName = new Intl.Collator(undefined, { numeric: true }).compare;

/** Whether the text is a duration as the API reads them: 100ms, 1.2s, 1m30s. */
export const isDuration = (text) => /^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text);
