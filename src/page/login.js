"use strict";
(() => {
  const field = document.getElementById("token");
  const token = location.hash.slice(1);
  if (!field || !token) return;
  field.value = token;
  // Neither the history nor whoever looks over a shoulder needs it.
  history.replaceState(null, "", location.pathname);
})();
