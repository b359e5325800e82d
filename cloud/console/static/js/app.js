// The page's scripts, in the order in which they need each other. Without them every page still works by links and forms.
import htmx from "../vendor/htmx.js";
import { install as busy } from "./busy.js";
import { install as keyed } from "./keyed.js";
import { install as live } from "./live.js";
import { install as panel } from "./panel.js";
import { install as session } from "./session.js";
import { install as sound } from "./sound.js";
import { install as ticks } from "./ticks.js";

keyed(htmx);

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = document.querySelector('meta[name="csrf"]').content;
});

// What a POST or an error has to say goes into the page's status line, and stays long enough to be read.
const say = document.getElementById("say");
let quiet = 0;
function tell(text) {
  if (say.hidden || say.textContent !== text) say.textContent = text; // what is said again and again is spoken once
  say.hidden = false;
  clearTimeout(quiet);
  quiet = setTimeout(() => { say.hidden = true; }, 4000 + 80 * text.length);
}
document.body.addEventListener("anju:say", (event) => tell(event.detail.text));

const clock = ticks();
busy(tell);
live({ htmx, clock });
session(clock);
panel(htmx);
sound();

async function charts(root) {
  if (root.querySelector("[data-chart]")) {
    const { draw } = await import("./chart.js");
    root.querySelectorAll("[data-chart]").forEach((place) => draw(place, clock));
  }
}
htmx.onLoad(charts);
