// Shared by all tabs of a browser: one stream for all, since HTTP/1.1 allows a browser six connections.
import { Stream } from "./stream.js";

const GONE_MS = 150000; // a hidden tab's timers run once a minute at the least
const tabs = new Map(); // port → {topics, seen}

const stream = new Stream((message) => {
  for (const [port, tab] of tabs) {
    const topics = message.topics?.filter((topic) => tab.topics.includes(topic));
    if (!topics) port.postMessage(message);
    else if (topics.length) port.postMessage({ topics });
  }
});

function listen() {
  stream.want([...tabs.values()].flatMap((tab) => tab.topics));
}

self.addEventListener("connect", ({ ports: [port] }) => {
  port.addEventListener("message", ({ data }) => {
    if (data.bye) tabs.delete(port);
    else {
      const is_new = data.topics && !tabs.has(port);
      tabs.set(port, { topics: data.topics ?? tabs.get(port)?.topics ?? [], seen: Date.now() });
      if (is_new && stream.live !== null) port.postMessage(stream.state());
    }
    listen();
  });
  port.start();
});

setInterval(() => {
  for (const [port, tab] of tabs) if (Date.now() - tab.seen > GONE_MS) tabs.delete(port);
  listen();
}, 30000);
