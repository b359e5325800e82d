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

const AGAIN_MS = 3000;

// Live parts that could not be read: the page is not live until they are. They are asked for again until they come.
function failures({ htmx, changed }) {
  const failed = new Set();
  let again = 0;
  const is_part = ({ target, detail }) => detail.requestConfig?.verb === "get" && target.matches?.("[hx-trigger*='anju:']");

  function retry() {
    again = 0;
    for (const part of [...failed]) {
      if (!part.isConnected) failed.delete(part);
      else htmx.ajax("GET", part.getAttribute("hx-get"), { source: part, target: part, swap: "keyed" }).catch(() => {});
    }
    changed();
  }

  document.addEventListener("htmx:afterRequest", (event) => {
    if (!is_part(event)) return;
    const { xhr, successful } = event.detail;
    if (successful) failed.delete(event.target);
    else if (!xhr.status || xhr.status >= 500) {
      failed.add(event.target);
      again ||= setTimeout(retry, AGAIN_MS * (1 + Math.random()));
    }
    changed();
  });
  return failed;
}

export function install({ htmx, clock }) {
  const words = document.getElementById("live");
  const word = document.getElementById("live-word");
  const cut = document.getElementById("cut"); // what to do meanwhile
  let state = null; // of the stream, as it was last told
  let broken_ms = 0; // since when parts cannot be read

  function show(text) {
    if (word.textContent !== text) word.textContent = text;
  }

  function hear(message) {
    if (message.topics) {
      for (const topic of message.topics) htmx.trigger(document.body, `anju:${topic}`);
      return;
    }
    if (message.server) clock.set(message.server);
    state = message;
    judge();
  }

  const failed = failures({ htmx, changed: () => judge() });

  function judge() {
    broken_ms = failed.size ? broken_ms || Date.now() : 0;
    if (!state) return;
    const live = state.live && !broken_ms;
    document.body.classList.toggle("is-cut", !live);
    document.body.dataset.liveState = live ? "live" : "cut";
    if (cut.hidden !== live) {
      cut.hidden = live;
      cut.textContent = live ? "" : cut.dataset.words;
    }
    const since = Math.min(...[broken_ms, state.live ? 0 : state.since].filter(Boolean));
    if (live) show(words.dataset.live);
    else if (state.full) show(words.dataset.full);
    else show(words.dataset.notLive.replace("{0}", clock.hour(since + (clock.now() - Date.now()))));
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
