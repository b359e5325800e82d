// Says in the strip that the session is about to end. When that is, the strip's live part knows (frame/strip.html).
const BEFORE_S = 15 * 60;

export function install(clock) {
  const notice = document.getElementById("ending");
  const said = notice.querySelector("[role=status]");

  function look() {
    const { sessionEnds, sessionWords } = document.getElementById("strip")?.dataset ?? {};
    notice.hidden = !sessionEnds || Number(sessionEnds) - clock.now() / 1000 > BEFORE_S;
    if (!notice.hidden && said.textContent !== sessionWords) said.textContent = sessionWords;
  }

  setInterval(look, 1000);
  look();
}
