"use strict";
(() => {
  const status = document.getElementById("live");
  if (!status) return;
  // A page has a stream of events, or is loaded again from time to time.
  const events = status.dataset.events;
  const again = Number(status.dataset.reload || 0);
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
  // An element becomes what it is now. What the reader has opened, scrolled or focused in it stays so.
  const replace = (old, next) => {
    const scrolled = "pre,.scroll";
    const before = Array.from(old.querySelectorAll(scrolled), (one) => [one.scrollTop, one.scrollLeft]);
    const open = Array.from(old.querySelectorAll("details"), (one) => [one.id, one.open]);
    const inside = Array.from(old.querySelectorAll(focusable));
    const at = inside.indexOf(document.activeElement);
    const held = inside.findIndex((one) => one.localName === "summary" && one.tabIndex === 0);
    for (const { name } of Array.from(old.attributes)) {
      if (!next.hasAttribute(name) && name !== "open" && name !== "style") old.removeAttribute(name);
    }
    for (const { name, value } of Array.from(next.attributes)) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    old.replaceChildren(...next.childNodes);
    const details = Array.from(old.querySelectorAll("details"));
    open.forEach(([id, was], index) => {
      const same = id ? details.find((one) => one.id === id) : details[index];
      if (same) same.open = was;
    });
    Array.from(old.querySelectorAll(scrolled)).forEach((one, index) => {
      if (index in before) [one.scrollTop, one.scrollLeft] = before[index];
    });
    const now = old.querySelectorAll(focusable);
    if (held >= 0 && now[held]?.localName === "summary") now[held].tabIndex = 0;
    if (at >= 0) now[at]?.focus({ preventScroll: true });
  };
  const tell = () => {
    document.dispatchEvent(new Event("maand:changed"));
    tick();
  };
  const change = (elements) => {
    for (const { id, html } of elements) {
      const old = document.getElementById(id);
      const next = old && parsed(html, old);
      if (next) replace(old, next);
    }
    tell();
  };
  let loading = false;
  let tried = Date.now();
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
      for (const next of page.querySelectorAll("[data-live]")) {
        const old = document.getElementById(next.id);
        if (old) replace(old, document.adoptNode(next));
      }
      heard = Date.now();
      if (now) {
        version = now.dataset.version;
        ahead = Number(now.dataset.at) - Date.now();
        lost = null;
        if (!events) say("", false);
      } else {
        // What is over stays as it is.
        ended = true;
        say("", false);
      }
      tell();
    } catch {
      gone();
    }
    loading = false;
    connect();
  };
  const connect = () => {
    if (!events || source || ended || document.hidden) return;
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
    const { at, x, rate, end } = now.dataset;
    const passed = Math.max(0, Date.now() + ahead - Number(at));
    const present = Math.min(Number(end), Number(x) + passed * Number(rate));
    for (const line of now.querySelectorAll("line")) {
      line.setAttribute("x1", `${present}%`);
      line.setAttribute("x2", `${present}%`);
    }
    for (const bar of document.querySelectorAll("rect.open")) {
      bar.setAttribute("width", `${Math.max(0.05, present - Number(bar.dataset.x))}%`);
    }
  };
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
    if (events && !source && !loading && Date.now() - tried >= 3000) {
      tried = Date.now();
      connect();
    }
    if (again && !loading && Date.now() - tried >= again * 1000) {
      tried = Date.now();
      reload();
    }
  }, 1000);
  connect();
})();
