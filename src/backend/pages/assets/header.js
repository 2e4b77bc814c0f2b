// The field in the header of every page that opens a trace by its ID.

document.getElementById("lookup").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = new FormData(event.target).get("id").trim();
  if (id) location.assign(`/trace/${encodeURIComponent(id)}`);
});
