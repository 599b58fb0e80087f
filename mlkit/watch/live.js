// Put into a page when `mlkit watch` serves it: it follows the runs, and keeps where its reader was.
(() => {
  "use strict";
  let state = JSON.parse(document.currentScript.dataset.state);
  const shown = state.version;
  const kept = "mlkit-watch-place";
  const store = (value) => {  // a browser may refuse to keep anything
    try {
      if (value === undefined) return JSON.parse(sessionStorage.getItem(kept));
      sessionStorage.setItem(kept, JSON.stringify(value));
    } catch { /* then the page begins at its top */ }
    return null;
  };

  // What is folded is known by its title, and by its number among those of the same title.
  const folds = () => {
    const seen = new Map();
    return [...document.querySelectorAll("details")].map((node) => {
      const title = node.querySelector(":scope > summary")?.textContent.trim() ?? "";
      const number = (seen.get(title) ?? 0) + 1;
      seen.set(title, number);
      return [`${title} ${number}`, node];
    });
  };
  const leave = () => {
    const marks = [...document.querySelectorAll("[id]")].filter((node) => node.getClientRects().length);
    const above = marks.filter((node) => node.getBoundingClientRect().top <= 1).at(-1);
    store({
      open: Object.fromEntries(folds().map(([name, node]) => [name, node.open])),
      mark: above?.id,
      offset: above ? above.getBoundingClientRect().top : 0,
      top: scrollY,
    });
    location.reload();
  };
  const place = store();
  if (place) {
    for (const [name, node] of folds()) if (name in place.open) node.open = place.open[name];
    const mark = place.mark && document.getElementById(place.mark);
    if (mark) scrollBy({ top: mark.getBoundingClientRect().top - place.offset, behavior: "instant" });
    else scrollTo({ top: place.top, behavior: "instant" });
    store(null);
  }

  const banner = document.createElement("div");
  banner.id = "mlkit-watch";
  banner.setAttribute("role", "status");
  banner.style.cssText = "position:sticky;top:0;z-index:1000;padding:.5rem 1rem;font:14px/1.4 system-ui,sans-serif;"
    + "white-space:pre-wrap;color:#fff;border-radius:.3rem;margin-bottom:.6rem;display:none;overflow-wrap:anywhere;max-height:40vh;overflow:auto";
  document.body.prepend(banner);
  const age = (at) => {
    const seconds = Math.max(0, Math.round(Date.now() / 1000 - at));
    if (seconds < 60) return `${seconds} s ago`;
    return seconds < 3600 ? `${Math.floor(seconds / 60)} m ago` : `${Math.floor(seconds / 3600)} h ago`;
  };
  let lost = 0;
  const tell = () => {
    const page = state.page_run ? `The page below is of run ${state.page_run}, made ${age(state.page_at)}.` : "";
    let text = "", colour = "#9a1c1c";
    if (lost && Date.now() - lost > 2000) text = `The watch has ended. ${page}`;
    else if (state.trouble) text = `Run ${state.trouble_run} ended ${age(state.trouble_at)} without a new page: ${state.trouble}\n${page}`;
    else if (state.running) [text, colour] = [`Run ${state.running} is under way. ${page}`, "#1c4f8a"];
    banner.style.display = text ? "block" : "none";
    banner.style.background = colour;
    if (banner.textContent !== text) banner.textContent = text;
  };
  const events = new EventSource("events");
  events.onopen = () => { lost = 0; };
  events.onerror = () => { lost ||= Date.now(); };
  events.onmessage = (event) => {
    state = JSON.parse(event.data);
    lost = 0;
    if (state.version !== shown) leave();
    else tell();
  };
  addEventListener("beforeprint", () => { banner.style.display = "none"; });
  setInterval(tell, 1000);
  tell();
})();
