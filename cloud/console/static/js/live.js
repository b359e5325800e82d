// Wakes the page's live parts, and says in the strip whether it is live.
import { Stream } from "./stream.js";

// A list of words: topics of the page, and of the report in its side panel.
function topics() {
  const all = [...document.querySelectorAll("[data-topics]")].map((element) => element.dataset.topics);
  return [...new Set(all.join(" ").split(/\s+/).filter(Boolean))];
}

function connect(hear) {
  if (typeof SharedWorker === "undefined") {
    const stream = new Stream(hear);
    return { want: (wanted) => stream.want(wanted), bye: () => stream.want([]) };
  }
  const worker = new SharedWorker("/static/js/live-worker.js", { type: "module", name: "anju-live" });
  worker.port.addEventListener("message", ({ data }) => hear(data));
  worker.port.start();
  setInterval(() => worker.port.postMessage({}), 20000);
  return { want: (wanted) => worker.port.postMessage({ topics: wanted }), bye: () => worker.port.postMessage({ bye: true }) };
}

export function install({ htmx, clock }) {
  const words = document.getElementById("live");
  const word = document.getElementById("live-word");

  function show(text) {
    if (word.textContent !== text) word.textContent = text;
  }

  function hear(message) {
    if (message.topics) {
      for (const topic of message.topics) htmx.trigger(document.body, `anju:${topic}`);
      return;
    }
    if (message.server) clock.set(message.server);
    document.body.classList.toggle("is-cut", !message.live);
    document.body.dataset.liveState = message.live ? "live" : "cut";
    show(message.live ? words.dataset.live : words.dataset.notLive.replace("{0}", clock.hour(message.since + (clock.now() - Date.now()))));
  }

  show(words.dataset.connecting);
  const connection = connect(hear);
  const want = () => connection.want(topics());
  want();
  document.addEventListener("htmx:afterSettle", want);
  document.addEventListener("anju:panel", want);
  addEventListener("pagehide", () => connection.bye());
  addEventListener("pageshow", (event) => { if (event.persisted) want(); });
}
