"use strict";
(() => {
  const status = document.getElementById("live");
  if (!status) return;
  const events = status.dataset.events;
  let version = status.dataset.version;
  // What the server's clock is ahead of ours.
  let ahead = Number(status.dataset.at) - Date.now();
  let source = null;
  let heard = Date.now();
  let lost = null;
  let ended = false;
  let hidden = 0;
  const say = (text, problem) => {
    if (status.textContent !== text) status.textContent = text;
    status.className = problem ? "lost" : "";
  };
  const clock = (date) => date.toISOString().slice(11, 19) + " UTC";
  const alive = () => {
    heard = Date.now();
    lost = null;
    say("live", false);
  };
  const gone = () => {
    lost = lost || new Date(heard);
    say(`not connected since ${clock(lost)}: what is shown is as of then`, true);
  };
  const parsed = (html, old) => {
    const template = document.createElement("template");
    const svg = old.namespaceURI === "http://www.w3.org/2000/svg" && old.localName !== "svg";
    template.innerHTML = svg ? `<svg>${html}</svg>` : html;
    return svg ? template.content.firstElementChild.firstElementChild : template.content.firstElementChild;
  };
  const focusable = "a,button,input,select,summary,[tabindex]";
  // Puts an element in the place of the old one. Where the reader was in it, the reader stays.
  const replace = (old, next) => {
    const scrolled = "pre,.scroll";
    const before = Array.from(old.querySelectorAll(scrolled), (one) => [one.scrollTop, one.scrollLeft]);
    const open = Array.from(old.querySelectorAll("details"), (one) => one.open);
    const at = Array.from(old.querySelectorAll(focusable)).indexOf(document.activeElement);
    old.replaceWith(next);
    next.querySelectorAll("details").forEach((one, index) => { if (index in open) one.open = open[index]; });
    next.querySelectorAll(scrolled).forEach((one, index) => {
      if (index in before) [one.scrollTop, one.scrollLeft] = before[index];
    });
    if (at >= 0) next.querySelectorAll(focusable)[at]?.focus({ preventScroll: true });
    return next;
  };
  const tell = (elements) => document.dispatchEvent(new CustomEvent("maand:changed", { detail: elements }));
  const change = (elements) => {
    const changed = [];
    for (const [id, html] of elements) {
      const old = document.getElementById(id);
      if (old) changed.push(replace(old, parsed(html, old)));
    }
    tell(changed);
    tick();
  };
  let loading = false;
  // The whole page anew, without moving the reader.
  const reload = async () => {
    if (loading) return;
    loading = true;
    if (source) source.close();
    source = null;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = page.getElementById("live");
      if (!now) throw new Error("another page");
      const changed = [];
      for (const next of page.querySelectorAll("[data-live]")) {
        const old = document.getElementById(next.id);
        if (old) changed.push(replace(old, document.adoptNode(next)));
      }
      document.title = page.title;
      version = now.dataset.version;
      ahead = Number(now.dataset.at) - Date.now();
      tell(changed);
      tick();
    } catch {
      gone();
    }
    loading = false;
    connect();
  };
  const connect = () => {
    if (source || ended || document.hidden) return;
    source = new EventSource(`${events}?since=${encodeURIComponent(version)}`);
    source.onerror = () => {
      gone();
      // After an answer that is no stream the browser does not try again by itself.
      if (source && source.readyState === EventSource.CLOSED) source = null;
    };
    const on = (name, then) => source.addEventListener(name, (event) => {
      alive();
      const told = JSON.parse(event.data);
      if (told.at) ahead = told.at - Date.now();
      if (event.lastEventId) version = event.lastEventId;
      then(told);
    });
    on("change", (told) => change(told.elements));
    on("beat", () => tick());
    on("reload", () => reload());
    on("gone", (told) => {
      ended = true;
      source.close();
      source = null;
      say(told.why, true);
    });
  };
  // Bars that are open reach to the present.
  const tick = () => {
    const now = document.getElementById("now");
    if (!now) return;
    const factor = Number(document.getElementById("zoom")?.value || 1);
    const { at, x, rate, end } = now.dataset;
    const passed = Math.max(0, Date.now() + ahead - Number(at));
    const present = Math.min(Number(end), Number(x) + passed * Number(rate));
    for (const line of now.querySelectorAll("line")) {
      line.setAttribute("x1", String(present * factor));
      line.setAttribute("x2", String(present * factor));
    }
    for (const bar of document.querySelectorAll("rect.open")) {
      bar.setAttribute("width", String(Math.max(1.5, present - Number(bar.dataset.x)) * factor));
    }
  };
  document.addEventListener("maand:stretched", tick);
  // A page that nobody looks at takes no connection: a browser has few for each server.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (!document.hidden) return void (source ? tick() : connect());
    hidden = setTimeout(() => {
      if (source) source.close();
      source = null;
    }, 10000);
  });
  setInterval(() => {
    if (document.hidden || ended) return;
    if (!lost) tick();
    if (Date.now() - heard > 35000 && source) {
      source.close();
      source = null;
      gone();
    }
    if (!source && !loading) connect();
  }, 1000);
  connect();
})();
