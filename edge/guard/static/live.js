"use strict";
// Renews the page's live part; without it the page loads itself again every few seconds. Says when it is not live.
const EVERY_MS = 2000;
const main = document.querySelector("main[data-live]");
const lost = document.getElementById("lost");
let failures = 0;

function show(text) {
  const open = new Set([...main.querySelectorAll("details[open]")].map((part) => part.id));
  const focused = document.activeElement && main.contains(document.activeElement) ? document.activeElement.id : "";
  main.innerHTML = text;
  for (const part of main.querySelectorAll("details")) part.open = open.has(part.id);
  const again = focused && document.getElementById(focused);
  if (again) again.focus({ preventScroll: true });
  const title = main.querySelector("[data-title]");
  if (title) document.title = title.dataset.title;
}

let shown = "";
async function renew() {
  try {
    const answer = await fetch("/live", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (answer.status === 401) {
      location.assign("/");
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const text = await answer.text();
    if (text !== shown) show(text);
    shown = text;
    failures = 0;
  } catch {
    failures += 1;
  }
  lost.hidden = failures < 2;
  setTimeout(renew, EVERY_MS);
}

if (main && lost) setTimeout(renew, EVERY_MS);
