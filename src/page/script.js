"use strict";
(() => {
  const find = document.getElementById("find");
  const state = document.getElementById("state");
  const zoom = document.getElementById("zoom");
  const found = document.getElementById("found");
  const form = document.getElementById("controls");
  let picture = document.getElementById("timeline");
  if (!find || !picture) return;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  let lanes = Array.from(document.querySelectorAll("#lanes .lane"));
  let rows = Array.from(document.querySelectorAll("#table tbody tr"));
  const height = 18;
  const matches = (element) => {
    const text = find.value.trim().toLowerCase();
    return (!text || element.dataset.host.toLowerCase().includes(text)) &&
      (!state.value || element.dataset.state === state.value);
  };
  const filter = () => {
    let y = 0;
    for (const lane of lanes) {
      const shown = matches(lane);
      lane.classList.toggle("away", !shown);
      if (shown) {
        lane.setAttribute("transform", `translate(0 ${y})`);
        y += height;
      }
    }
    let count = 0;
    for (const row of rows) {
      const shown = matches(row);
      row.classList.toggle("away", !shown);
      count += shown ? 1 : 0;
    }
    found.textContent = find.value || state.value ? `${count} of ${rows.length}` : "";
  };
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; filter(); });
  };
  find.addEventListener("input", soon);
  state.addEventListener("change", soon);
  const names = 190;
  const extent = 1200;
  const measured = (element) => [element, ["x", "x1", "x2", "width"]
    .filter((name) => element.hasAttribute(name))
    .map((name) => [name, Number(element.getAttribute(name))])];
  const within = (part) => Array.from(part.querySelectorAll("rect, line, text"))
    .filter((element) => !element.closest("defs") && !element.classList.contains("name"))
    .map(measured);
  let drawn = within(picture);
  const stretch = () => {
    const tall = Number(picture.getAttribute("height"));
    const factor = Number(zoom.value);
    for (const [element, attributes] of drawn) {
      for (const [name, value] of attributes) element.setAttribute(name, String(value * factor));
    }
    const wide = names + (extent - names) * factor;
    picture.setAttribute("width", String(wide));
    picture.setAttribute("viewBox", `${-names} -44 ${wide} ${tall}`);
    document.dispatchEvent(new Event("maand:stretched"));
  };
  zoom.addEventListener("input", () => requestAnimationFrame(stretch));
  // A served page has got new elements in place of old ones.
  document.addEventListener("maand:changed", (event) => {
    picture = document.getElementById("timeline");
    drawn = drawn.filter(([element]) => element.isConnected);
    for (const part of event.detail) {
      if (part === picture || picture.contains(part)) drawn.push(...within(part));
    }
    lanes = Array.from(document.querySelectorAll("#lanes .lane"));
    rows = Array.from(document.querySelectorAll("#table tbody tr"));
    if (find.value || state.value) filter();
    if (zoom.value !== "1") stretch();
  });
})();
