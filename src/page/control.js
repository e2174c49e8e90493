"use strict";
(() => {
  const panel = () => document.getElementById("control");
  if (!panel() || !panel().dataset.from) return;
  // What somebody has begun to fill in stays.
  const isTouched = () => Array.from(panel().querySelectorAll("input")).some((field) =>
    field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);
  let waits = 0;
  const renew = async () => {
    waits = 0;
    if (isTouched()) return void later();
    try {
      const answer = await fetch(panel().dataset.from, { cache: "no-store" });
      if (!answer.ok) return;
      const text = await answer.text();
      if (isTouched() || text === panel().outerHTML) return;
      const template = document.createElement("template");
      template.innerHTML = text;
      const next = template.content.firstElementChild;
      if (next && next.outerHTML !== panel().outerHTML) {
        const at = Array.from(panel().querySelectorAll("button")).indexOf(document.activeElement);
        panel().replaceWith(next);
        if (at >= 0) next.querySelectorAll("button")[at]?.focus({ preventScroll: true });
      }
    } catch {
      // The page itself says that the server is gone.
    }
  };
  const later = () => { waits = waits || setTimeout(renew, 700); };
  document.addEventListener("maand:changed", later);
})();
