// A click on a frame makes it as wide as the graph; what a frame is stands below the graph, where fingers and keys find it too.
for (const graph of document.querySelectorAll(".graph")) {
  const flame = graph.querySelector(".flame");
  const caption = graph.querySelector(".caption");
  const whole = graph.querySelector(".whole");
  const frames = [...flame.children].map((box) => {
    const [left, width] = ["--l", "--w"].map((name) => Number(box.style.getPropertyValue(name)));
    return { box, left, width };
  });
  const zoom = (from, part) => {
    flame.style.setProperty("--from", from);
    flame.style.setProperty("--part", part);
    for (const { box, left, width } of frames) {
      box.classList.toggle("around", part < 1 && left <= from + 1e-9 && left + width >= from + part - 1e-9 && width > part + 1e-9);
      box.classList.toggle("thin", width / part < 0.02);
    }
    whole.hidden = part === 1;
  };
  caption.textContent = "Click a frame to see it closer.";
  for (const { box, left, width } of frames) {
    box.tabIndex = 0;
    box.setAttribute("role", "button");
    const tell = () => { caption.textContent = box.title; };
    box.addEventListener("pointerenter", tell);
    box.addEventListener("focus", tell);
    box.addEventListener("click", () => zoom(left, width));
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); zoom(left, width); }
      if (event.key === "Escape") zoom(0, 1);
    });
  }
  whole.addEventListener("click", () => zoom(0, 1));
}
