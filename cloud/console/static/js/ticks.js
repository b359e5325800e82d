// Ticking times. The formats and the moment come from the server: a console PC's own clock may be wrong.
const words = JSON.parse(document.body.dataset.tickWords);
let ahead_ms = Number(document.body.dataset.now) * 1000 - Date.now();

function fill(name, ...values) {
  return words[name].replace(/\{(\d)\}/g, (_, index) => values[index]);
}

const two = (number) => String(number).padStart(2, "0");

export function ago(seconds) {
  const s = Math.floor(seconds);
  if (s < 5) return fill("just_now");
  if (s < 60) return fill("seconds_ago", s);
  if (s < 3600) return fill("minutes_ago", Math.floor(s / 60));
  if (s < 86400) return fill("hours_ago", Math.floor(s / 3600));
  return fill("days_ago", Math.floor(s / 86400));
}

export function running(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return fill("seconds", s);
  if (s < 3600) return fill("minutes", Math.floor(s / 60), two(s % 60));
  if (s < 86400) return fill("hours", Math.floor(s / 3600), two(Math.floor((s % 3600) / 60)));
  return fill("days", Math.floor(s / 86400), Math.floor((s % 86400) / 3600));
}

const clock = {
  // Server's time in ms, as of its last word.
  now: () => Date.now() + ahead_ms,
  set: (server_ms) => { ahead_ms = server_ms - Date.now(); },
  // An hour and minute of the estate.
  hour: (ms) => new Intl.DateTimeFormat("en-GB", { timeZone: document.body.dataset.zone, hour: "2-digit", minute: "2-digit" }).format(ms),
};

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  const now_s = clock.now() / 1000;
  document.querySelectorAll("[data-ago]").forEach((e) => write(e, ago(now_s - Number(e.dataset.ago))));
  document.querySelectorAll("[data-running]").forEach((e) => write(e, running(now_s - Number(e.dataset.running))));
  document.querySelectorAll("[data-left]").forEach((e) => write(e, running(Number(e.dataset.left) - now_s)));
  document.querySelectorAll("[data-while]").forEach((e) => { if (now_s >= Number(e.dataset.while)) e.hidden = true; });
  document.querySelectorAll("[data-clock]").forEach((e) => write(e, clock.hour(clock.now())));
}

export function install() {
  setInterval(tick, 1000);
  document.addEventListener("htmx:afterSwap", tick);
  tick();
  return clock;
}
