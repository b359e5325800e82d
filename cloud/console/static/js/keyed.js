// htmx swap style “keyed”: merges a rendered part into the one on the page, instead of replacing it.
//
// What did not change is not touched, so focus, scroll and open questions stay. In a list ([data-keyed-list]) rows are
// told apart by data-key. While somebody is on a row (focus or mouse within the last seconds) rows keep their places:
// new ones gather behind a button, those that went stay dimmed, until the hand leaves.
const IDLE_MS = 10000; // a mouse left lying on the list is not somebody on a row

const PRIORITIES = ["critical", "high", "medium", "low"];

const pending = new Map(); // list → the list as it should become
const asked_ms = new WeakMap(); // part → when what it should become was asked for
const put_ms = new WeakMap(); // element → when an answer put it there: what was asked for before that is older
let since_ms = 0; // of the part that is being merged
let used_ms = 0;
let last = null; // what had the focus last, and the id of the part it was in: it may have been replaced since
let last_host = "";
let mouse = null; // where it is, in the window; what lies under it may have been replaced since

function held(list) {
  const on_it = (mouse && list.contains(document.elementFromPoint(mouse.x, mouse.y))) || list.contains(document.activeElement);
  return list.hasAttribute("data-hold") && on_it && Date.now() - used_ms < IDLE_MS;
}

function attributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    // What scripts put there stays theirs.
    if (!fresh.hasAttribute(name) && !["style", "aria-current", "open"].includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
}

function alike(old, fresh) {
  return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && old.id === fresh.id;
}

// What the keyboard was on, when that is in this part, or was in it until an answer took its place and left it nowhere.
function focused_in(part) {
  const active = document.activeElement;
  if (part.contains(active)) return active;
  const is_lost = active === document.body && last && !last.isConnected;
  return is_lost && last_host && part.closest(`#${CSS.escape(last_host)}`) ? last : null;
}

function refocus(part, was) {
  if (was.isConnected) return;
  const row = part.closest("[data-key]") ?? part;
  const again = was.dataset?.focus && row.querySelector(`[data-focus="${was.dataset.focus}"]`);
  (again || row.querySelector("[data-focus]") || row.querySelector("a, button"))?.focus({ preventScroll: true });
}

function merge(old, fresh, added) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  // A question that is open, and what a script draws into, are left alone.
  if (old.hasAttribute("data-asking") && !fresh.hasAttribute("data-asking")) return;
  if (old.hasAttribute("data-busy")) return; // sent, and not answered yet (busy.js)
  if ((put_ms.get(old) ?? 0) > since_ms) return;
  attributes(old, fresh);
  if (old.hasAttribute("data-island")) return;
  if (old.hasAttribute("data-keyed-list")) return list(old, fresh, added);
  const [olds, freshes] = [[...old.childNodes], [...fresh.childNodes]];
  if (olds.length === freshes.length && olds.every((node, i) => alike(node, freshes[i]))) {
    olds.forEach((node, i) => merge(node, freshes[i], added));
    return;
  }
  const was = focused_in(old);
  old.replaceChildren(...freshes);
  added.push(...[...old.children]);
  if (was) refocus(old, was);
}

const rows = (list) => [...list.children].filter((child) => child.dataset.key);
const by_key = (list) => new Map(rows(list).map((row) => [row.dataset.key, row]));

function list(old, fresh, added) {
  const [before, after] = [by_key(old), by_key(fresh)];
  if (held(old)) {
    for (const [key, row] of before) {
      if (after.has(key)) merge(row, after.get(key).cloneNode(true), added);
      else row.classList.add("gone");
    }
    pending.set(old, fresh.cloneNode(true));
    announce(old, [...after].filter(([key]) => !before.has(key)).map(([, row]) => row));
    return;
  }
  pending.delete(old);
  announce(old, []);
  for (const [key, row] of before) if (!after.has(key)) row.remove();
  let place = old.firstElementChild;
  for (const [key, row] of after) {
    const known = before.get(key);
    if (known) merge(known, row, added);
    else added.push(row);
    const here = known ?? row;
    if (here === place) place = place.nextElementSibling;
    else old.insertBefore(here, place);
  }
}

function announce(list, fresh) {
  const bar = list.parentElement?.querySelector("[data-new-bar]");
  if (!bar) return;
  bar.hidden = fresh.length === 0;
  bar.classList.remove(...PRIORITIES);
  if (!fresh.length) return;
  const worst = PRIORITIES.map((priority) => fresh.find((row) => row.dataset.priority === priority)).find(Boolean) ?? fresh[0];
  const words = fresh.length === 1 ? bar.dataset.one : bar.dataset.many.replace("{0}", fresh.length);
  bar.textContent = words.replace("{1}", worst.dataset.title);
  bar.classList.add(worst.dataset.priority);
}

export function install(htmx) {
  function release(force) {
    for (const [place, fresh] of [...pending]) {
      if (!place.isConnected) pending.delete(place);
      else if (force || !held(place)) {
        if (force) used_ms = 0;
        const added = [];
        list(place, fresh, added);
        added.forEach((element) => htmx.process(element));
      }
    }
  }

  document.addEventListener("pointermove", (event) => {
    used_ms = Date.now();
    mouse = event.pointerType === "mouse" ? { x: event.clientX, y: event.clientY } : null;
  });
  document.addEventListener("pointerout", (event) => { if (!event.relatedTarget) mouse = null; });
  for (const name of ["keydown", "focusin", "pointerdown"]) document.addEventListener(name, () => { used_ms = Date.now(); });
  document.addEventListener("htmx:beforeRequest", ({ detail }) => asked_ms.set(detail.target, performance.now()));
  document.addEventListener("htmx:afterSwap", (event) => put_ms.set(event.target, performance.now()));
  document.addEventListener("focusin", (event) => {
    last = event.target;
    last_host = last.closest("[id]")?.id ?? "";
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-new-bar]")) release(true); });
  setInterval(() => release(false), 500);

  htmx.defineExtension("keyed", {
    isInlineSwap: (style) => style === "keyed",
    handleSwap: (style, target, fragment) => {
      if (style !== "keyed") return false;
      const added = [];
      since_ms = asked_ms.get(target) ?? performance.now();
      const fresh = (target.id && fragment.querySelector(`#${CSS.escape(target.id)}`)) || fragment.firstElementChild;
      if (fresh) merge(target, fresh, added);
      return added;
    },
  });
}
