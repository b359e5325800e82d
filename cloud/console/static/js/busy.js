// What somebody pressed shows at once that it is under way, says so when no answer comes, and is not sent twice.
const words = JSON.parse(document.body.dataset.busyWords);
const WORD_MS = 300; // most answers come sooner: no word flickers
const SLOW_MS = 5000; // htmx gives up after its own timeout (frame/head.html)

const under_way = new Map(); // form or link → what undoes its busy look

function button_of(element, event) {
  if (element.matches("form[hx-post]")) return event?.submitter ?? element.querySelector("button");
  return element.matches("a.button") ? element : null;
}

function start(element, button) {
  const label = [...button.childNodes];
  const say = (text) => () => button.replaceChildren(text);
  const timers = [setTimeout(say(words.sending), WORD_MS), setTimeout(say(words.slow), SLOW_MS)];
  element.dataset.busy = ""; // a live update leaves it alone (keyed.js)
  button.setAttribute("aria-busy", "true");
  under_way.set(element, () => {
    timers.forEach(clearTimeout);
    delete element.dataset.busy;
    button.removeAttribute("aria-busy");
    button.replaceChildren(...label);
    under_way.delete(element);
  });
}

export function install(tell) {
  document.addEventListener("htmx:beforeRequest", ({ detail }) => {
    const button = button_of(detail.elt, detail.requestConfig?.triggeringEvent);
    if (button && !under_way.has(detail.elt)) start(detail.elt, button);
  });
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    under_way.get(detail.elt)?.();
    // What was written or chosen has been taken: the form is for the next thing.
    if (detail.successful && detail.elt.matches("form[data-reset]")) detail.elt.reset();
  });
  for (const name of ["htmx:timeout", "htmx:sendError"]) {
    document.addEventListener(name, ({ detail }) => {
      if (button_of(detail.elt)) tell(detail.elt.matches("form") ? words.unknown : words.unread);
    });
  }
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[aria-busy='true']")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, { capture: true });
}
