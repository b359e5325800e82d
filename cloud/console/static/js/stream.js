// One stream of wake-ups from the server. Used by the shared worker, and by a page where there is none.
const PATIENCE_MS = 12000; // two beats are missing
const AGAIN_MS = 3000;

export class Stream {
  // `tell` gets {live: bool, full: bool, since: ms of the last sign of life, server: ms} and {topics: [...]}.
  constructor(tell) {
    this.tell = tell;
    this.topics = "";
    this.source = null;
    this.heard_ms = Date.now();
    this.live = null;
    this.full = false; // the server has no room for one more stream
    setInterval(() => this.watch(), 1000);
  }

  // What to listen to; an empty set ends the stream.
  want(topics) {
    const wanted = [...new Set(topics)].sort().join(",");
    if (wanted === this.topics && (this.source || !wanted)) return;
    this.topics = wanted;
    this.open();
  }

  open() {
    clearTimeout(this.again);
    this.source?.close();
    this.source = null;
    if (!this.topics) return;
    const source = new EventSource(`/live?topics=${encodeURIComponent(this.topics)}`);
    this.source = source;
    this.opened_ms = Date.now();
    source.addEventListener("hello", (event) => {
      this.alive(Number(event.data));
      // Whatever was missed in between is not replayed: everything is read again.
      this.tell({ topics: this.topics.split(",") });
    });
    source.addEventListener("beat", (event) => this.alive(Number(event.data)));
    source.addEventListener("change", (event) => {
      this.alive();
      this.tell({ topics: event.data.split(",") });
    });
    source.addEventListener("bye", () => {
      source.close();
      this.cut();
      // The session is over: reading anything again leads to the login page.
      this.tell({ topics: this.topics.split(",") });
    });
    source.addEventListener("error", () => {
      this.cut();
      if (source.readyState === EventSource.CLOSED && source === this.source) this.refused(source);
    });
  }

  // An event source does not say why it was refused; a request of the same address does.
  async refused(source) {
    let wait_ms = AGAIN_MS * (1 + Math.random());
    let full = false;
    const asking = new AbortController();
    try {
      const answer = await fetch(source.url, { signal: asking.signal });
      if (answer.status === 503) {
        wait_ms = Math.max(wait_ms, Number(answer.headers.get("Retry-After")) * 1000);
        full = (await answer.text()) === "full";
      } else if (answer.status === 204) this.tell({ topics: this.topics.split(",") }); // the session is over, as at bye
    } catch { /* the server cannot be reached: tried again as it is */ }
    asking.abort();
    if (source !== this.source) return;
    if (full !== this.full) {
      this.full = full;
      this.tell(this.state());
    }
    this.again = setTimeout(() => this.open(), wait_ms);
  }

  alive(server) {
    this.heard_ms = Date.now();
    this.live = true;
    this.full = false;
    this.tell(this.state(server));
  }

  cut() {
    if (this.live === false) return;
    this.live = false;
    this.tell(this.state());
  }

  state(server) {
    return { live: this.live, full: this.full, since: this.heard_ms, server };
  }

  // A connection may be dead without an error (a pulled cable): silence decides, and a new one is tried.
  watch() {
    const silent_ms = Date.now() - Math.max(this.heard_ms, this.opened_ms ?? 0);
    if (this.topics && silent_ms > PATIENCE_MS && !this.full) {
      this.cut();
      this.open();
    }
  }
}
