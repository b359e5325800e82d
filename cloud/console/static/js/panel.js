// The side panel, from 1200 px: an alarm opens beside the list. Narrower, or with a modifier key, the link is a link.
const wide = matchMedia("(min-width: 1200px)");

export function install(htmx) {
  const panel = document.getElementById("panel");
  if (!panel) return;
  const body = document.getElementById("panel-body");
  let opener = null;

  function mark(url) {
    document.querySelectorAll("#alarm-list [data-key]").forEach((row) => {
      const chosen = url && row.querySelector("[data-panel]")?.dataset.panel === url;
      if (chosen) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    });
  }

  function close() {
    if (panel.hidden) return;
    panel.hidden = true;
    body.replaceChildren();
    mark(null);
    document.dispatchEvent(new CustomEvent("anju:panel"));
    opener?.focus();
  }

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-panel]");
    if (event.target.closest("[data-close-panel]")) close();
    if (!link || !wide.matches || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    opener = link;
    await htmx.ajax("GET", `${link.dataset.panel}/report`, { target: body, swap: "innerHTML" });
    if (!body.firstElementChild) return;
    panel.querySelector(".panel-full").href = link.dataset.panel;
    panel.hidden = false;
    panel.scrollTop = 0;
    mark(link.dataset.panel);
    document.dispatchEvent(new CustomEvent("anju:panel"));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && panel.contains(document.activeElement)) close();
  });
}
