// A sound and a spoken sentence for a new critical alarm, repeated until a person has acknowledged it.
//
// Browsers play nothing before a click, so the strip says honestly whether it would be heard. Of several tabs only one
// sounds at a time.
const AGAIN_MS = 10000;
const MOST_SPOKEN = 5; // the strip says how many there are
const WISH = "anju-sound";

function wish(value) {
  try {
    if (value !== undefined) localStorage.setItem(WISH, value);
    return localStorage.getItem(WISH) ?? "on";
  } catch { return value ?? "on"; }
}

export function install() {
  const button = document.getElementById("sound");
  const word = button.querySelector(".sound-word");
  const spoken = document.getElementById("assertive");
  const strip = () => document.getElementById("strip")?.dataset ?? {};
  const audio = typeof AudioContext === "undefined" ? null : new AudioContext();
  const critical = () => JSON.parse(strip().critical ?? "[]"); // [id, title], nobody has acknowledged them
  let seen = new Set(critical().map(([id]) => id));
  let sounded_ms = 0;

  const is_on = () => audio !== null && audio.state === "running" && wish() === "on";

  function show() {
    const on = is_on();
    button.hidden = audio === null;
    button.dataset.state = on ? "on" : "off";
    word.textContent = on ? button.dataset.on : button.dataset.off;
    button.setAttribute("aria-label", on ? button.dataset.on : button.dataset.off);
    button.title = on ? button.dataset.on : button.dataset.off;
  }

  function tone(at, hertz) {
    const [osc, gain] = [audio.createOscillator(), audio.createGain()];
    osc.frequency.value = hertz;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.4, at + 0.02);
    gain.gain.setValueAtTime(0.4, at + 0.28);
    gain.gain.linearRampToValueAtTime(0, at + 0.32);
    osc.connect(gain).connect(audio.destination);
    osc.start(at);
    osc.stop(at + 0.35);
  }

  function ring() {
    if (!is_on()) return;
    sounded_ms = Date.now();
    const play = () => [880, 660, 880, 660].forEach((hertz, i) => tone(audio.currentTime + 0.36 * i, hertz));
    if (!navigator.locks) return play();
    navigator.locks.request("anju-sound", { ifAvailable: true }, (lock) => {
      if (!lock) return undefined;
      play();
      return new Promise((done) => { setTimeout(done, 2000); });
    });
  }

  function look() {
    const now = critical();
    const fresh = now.filter(([id]) => !seen.has(id));
    if (fresh.length) {
      const titles = fresh.slice(0, MOST_SPOKEN).map(([, title]) => title).join("; ");
      spoken.textContent = "";
      requestAnimationFrame(() => { spoken.textContent = titles; });
      ring();
    } else if (now.length && Date.now() - sounded_ms >= AGAIN_MS) ring();
    seen = new Set(now.map(([id]) => id));
    button.toggleAttribute("data-waiting", Number(strip().waiting) > 0);
  }

  button.addEventListener("click", async () => {
    if (is_on()) wish("off");
    else {
      wish("on");
      await audio.resume();
    }
    show();
    look();
  });
  audio?.addEventListener("statechange", show);
  document.addEventListener("htmx:afterSwap", look);
  setInterval(look, 1000);
  show();
  look();
  // Any click will do for the browser; a person need not find the button.
  if (audio && wish() === "on") document.addEventListener("pointerdown", () => audio.resume().then(show), { once: true });
}
