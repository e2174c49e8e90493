"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const find = by("find"), state = by("state"), zoom = by("zoom"), found = by("found"), form = by("controls");
  if (!form || !by("lanes")) return;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  // A group has no host of its own: it is found by the hosts that it names.
  const entry = (element) => ({
    element,
    text: (element.dataset.host ?? element.textContent).toLowerCase(),
    states: (element.dataset.state ?? "").split("|"),
  });
  const entries = (selector) => Array.from(document.querySelectorAll(selector), entry);
  let drawn, rows, turn = 0;
  const filter = () => {
    drawn ??= entries("#lanes > .lane[data-state]");
    rows ??= entries("#table tbody tr");
    const text = find.value.trim().toLowerCase();
    const matches = ({ text: own, states }) =>
      (!text || own.includes(text)) && (!state.value || states.includes(state.value));
    const isWrong = (one) => one.element.classList.contains("away") === matches(one);
    const turned = (one) => one.element.classList.toggle("away");
    drawn.filter(isWrong).forEach(turned);
    found.textContent = text || state.value ? `${drawn.filter(matches).length} of ${drawn.length}` : "";
    // A table takes long to lay out: of many rows some before each picture, and the lanes, which are above it, first.
    const wrong = rows.filter(isWrong);
    const mine = ++turn;
    const some = () => {
      if (mine !== turn) return;
      wrong.splice(0, 150).forEach(turned);
      if (wrong.length) requestAnimationFrame(some);
    };
    if (wrong.length > 150) requestAnimationFrame(some);
    else some();
  };
  let waiting = false;
  const soon = (work) => () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; work(); });
  };
  find.addEventListener("input", soon(filter));
  state.addEventListener("change", soon(filter));
  const stretch = () => {
    const view = by("timeline").parentElement;
    const before = (view.scrollLeft + view.clientWidth / 2) / view.scrollWidth;
    by("timeline").style.setProperty("--z", zoom.value);
    view.scrollLeft = before * view.scrollWidth - view.clientWidth / 2;
  };
  zoom.addEventListener("input", soon(stretch));
  // One lane is reached by Tab, the others from it by arrow keys.
  const summaries = (shown) => Array.from(document.querySelectorAll(`#timeline .lane${shown} > summary`));
  const rove = (to) => {
    for (const summary of summaries("")) summary.tabIndex = summary === to ? 0 : -1;
  };
  rove(summaries("")[0]);
  const frame = by("timeline").parentElement;
  frame.addEventListener("focusin", (event) => {
    const summary = event.target.closest("summary");
    const before = frame.querySelector("summary[tabindex='0']");
    if (!summary || summary === before) return;
    if (before) before.tabIndex = -1;
    summary.tabIndex = 0;
  });
  frame.addEventListener("keydown", (event) => {
    const summary = event.target.closest("summary");
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -1e9, End: 1e9 }[event.key];
    if (!summary || !step || event.ctrlKey || event.altKey || event.metaKey) return;
    const shown = summaries(":not(.away)");
    const at = shown.indexOf(summary) + step;
    event.preventDefault();
    shown[Math.max(0, Math.min(shown.length - 1, at))].focus();
  });
  // A link to a lane opens it.
  const open = () => {
    const lane = by(location.hash.slice(1));
    if (!lane || !lane.matches("details")) return;
    lane.classList.remove("away");
    lane.open = true;
    lane.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", open);
  open();
  // A served page has got new elements in place of old ones.
  document.addEventListener("maand:changed", () => {
    drawn = rows = undefined;
    if (find.value || state.value) filter();
    if (zoom.value !== "1") stretch();
    const held = frame.querySelectorAll("summary[tabindex='0']");
    const all = summaries("");
    for (const summary of all) if (!summary.hasAttribute("tabindex")) summary.tabIndex = -1;
    if (!held.length && all.length) all[0].tabIndex = 0;
  });
})();
