// The one or two traces that were picked to be compared: `{ id, service, name, duration }`. They stay as long as the tab is there.

const KEY = "tracelab.compare";

export function readPicked() {
  try {
    const read = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return read.filter(({ id, service, name, duration }) => [id, service, name].every((text) => typeof text === "string") && Number.isFinite(duration)).slice(0, 2);
  } catch {
    // A browser that keeps nothing compares what one page has.
    return [];
  }
}

export function keepPicked(picked) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(picked));
  } catch {
    // As above.
  }
}
