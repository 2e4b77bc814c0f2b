// Durations, times and counts, in the reader's locale. Durations are nanoseconds, as in OTLP.

const NO_BREAK_SPACE = "\u00a0";
const UNITS = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];
const number = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 });
const percentage = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const count = new Intl.NumberFormat();
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

export const share = (part) => percentage.format(part);

/** "1 span", "1,234 spans". */
export function counted(n, one, many = `${one}s`) {
  return `${count.format(n)} ${n === 1 ? one : many}`;
}

export const integer = (n) => count.format(n);

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

/** Whether the text is a duration as the API reads them: 100ms, 1.2s, 1m30s. */
export const isDuration = (text) => /^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text);
