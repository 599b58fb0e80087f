// What a page of mlkit can do beyond being read. Without it nothing is missing that is written there.
(() => {
  "use strict";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (name, text = "", kind = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const press = (text, done) => {
    const made = make("button", text);
    made.type = "button";
    made.addEventListener("click", () => done(made));
    return made;
  };
  const kept = (name, value) => {  // a sandbox has no storage: then nothing is kept
    try {
      if (value !== undefined) localStorage.setItem(name, value);
      return localStorage.getItem(name);
    } catch { return null; }
  };

  // Colours: those of the system, until somebody says otherwise.
  const themes = ["system", "light", "dark"];
  let theme = themes.includes(kept("mlkit-theme")) ? kept("mlkit-theme") : "system";
  const dress = () => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    return `Colours: ${theme}`;
  };
  const tools = make("div", "", "tools");
  tools.append(press(dress(), (button) => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    button.textContent = dress();
    kept("mlkit-theme", theme);
  }));
  const sections = all("details.section");
  if (sections.length) {
    const isWhole = () => sections.every((section) => section.open);
    const unfold = press("", () => {
      const open = !isWhole();
      for (const section of sections) section.open = open;
    });
    const name = () => { unfold.textContent = isWhole() ? "Fold all" : "Unfold all"; };
    for (const section of sections) section.addEventListener("toggle", name);
    name();
    tools.append(unfold);
  }
  document.querySelector(".masthead").append(tools);

  // Links within the page. In a viewer the page has no address of its own, and a browser would leave it.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    const target = link && document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (!target) return;
    event.preventDefault();
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    target.scrollIntoView();
    target.focus({ preventScroll: true });
    try { history.pushState(null, "", link.hash); } catch { /* no address to keep it in */ }
  });
  if ("IntersectionObserver" in window) {
    const seen = new Set();
    const links = new Map(all(".contents a").map((link) => [link.hash.slice(1), link]));
    const watcher = new IntersectionObserver((changes) => {
      for (const { target, isIntersecting } of changes) seen[isIntersecting ? "add" : "delete"](target);
      const here = sections.find((section) => seen.has(section));
      for (const [name, link] of links) link.classList.toggle("here", !!here?.querySelector(`:scope > #${CSS.escape(name)}`));
    }, { rootMargin: "-10% 0px -70% 0px" });
    sections.forEach((section) => watcher.observe(section));
  }

  // On paper nothing is folded.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const each of folded) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of folded) each.open = false; });

  // Copying: the old way first, which works where a page is sandboxed.
  const copy = (node, button) => {
    const name = button.textContent;
    const told = (done) => {
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { button.textContent = name; }, 1500);
    };
    getSelection().selectAllChildren(node);
    let done = false;
    try { done = document.execCommand("copy"); } catch { /* the next way */ }
    if (done || !navigator.clipboard) told(done);
    else navigator.clipboard.writeText(node.textContent).then(() => told(true), () => told(false));
  };
  for (const block of all("pre.code")) {
    const around = make("div", "", "copies");
    block.replaceWith(around);
    around.append(block, press("Copy", (button) => copy(block.firstElementChild, button)));
  }

  // A header sorts its column; what has no value stays at the end.
  const valueOf = (cell) => {
    const text = cell.dataset.value ?? (cell.classList.contains("n") || cell.querySelector(".faint") ? "" : cell.textContent);
    return text === "" || isNaN(text) ? text : Number(text);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  for (const header of all("table.sortable thead th")) {
    const button = press("", () => {
      const falling = header.getAttribute("aria-sort") === "ascending";
      const body = header.closest("table").tBodies[0];
      for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [valueOf(row.cells[header.cellIndex]), row]);
      rows.sort(([a], [b]) => (a === "") - (b === "") || (falling ? compare(b, a) : compare(a, b)));
      body.append(...rows.map(([, row]) => row));
    });
    button.append(...header.childNodes);
    header.append(button);
  }

  // One selection: rows, points, lines and spans with the same key are the same thing.
  for (const place of all(".selection")) {
    const { code, noun } = place.dataset;
    const marks = all("[data-key]", place);
    const keys = [...new Set(marks.map((mark) => mark.dataset.key))];
    const brushes = new Map();
    const boxes = [];
    let chosen = new Set();
    const bar = make("div", "", "chosen");
    const count = make("span");
    const text = make("code");
    count.setAttribute("role", "status");
    bar.hidden = true;
    const show = () => {
      for (const mark of marks) {
        mark.classList.toggle("is-chosen", chosen.has(mark.dataset.key));
        if (chosen.has(mark.dataset.key) && mark.matches(".row")) mark.parentElement.append(mark);  // on top
      }
      for (const box of boxes) box.checked = chosen.has(box.value);
      place.classList.toggle("has-choice", chosen.size > 0);
      bar.hidden = !chosen.size && !brushes.size;
      const list = keys.filter((key) => chosen.has(key)).sort(compareKeys);
      count.textContent = `${list.length} of ${keys.length} ${noun}s`;
      text.textContent = code.replace("{keys}", list.map((key) => (isNaN(key) ? JSON.stringify(key) : key)).join(", "));
    };
    const compareKeys = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
    const unbrush = () => {
      for (const { mark } of brushes.values()) mark.remove();
      brushes.clear();
    };
    const toggle = (key) => {
      unbrush();
      if (!chosen.delete(key)) chosen.add(key);
      show();
    };
    const brushed = () => {
      const inside = [...brushes.values()].map((brush) => brush.keys);
      chosen = new Set(inside.length ? keys.filter((key) => inside.every((each) => each.has(key))) : []);
      show();
    };
    bar.append(count, text, press("Copy", (button) => copy(text, button)), press("Clear", () => {
      unbrush();
      chosen.clear();
      show();
    }));
    place.append(bar);

    for (const row of all("tr[data-key]", place)) {
      const cell = row.insertCell(0);
      const box = make("input");
      Object.assign(box, { type: "checkbox", value: row.dataset.key });
      box.setAttribute("aria-label", `${noun} ${row.dataset.key}`);
      box.addEventListener("change", () => toggle(box.value));
      cell.className = "tick-box";
      cell.append(box);
      boxes.push(box);
    }
    for (const head of new Set(boxes.map((box) => box.closest("table").tHead.rows[0]))) head.insertCell(0);
    place.addEventListener("click", (event) => {
      const mark = event.target.closest("[data-key]");
      if (mark && !event.target.closest("a, button, input")) toggle(mark.dataset.key);
    });

    // A range dragged along one axis of a plot: `from` and `to` are pixels of the plot.
    const drag = (handle, svg, isUpright, inside) => {
      handle.addEventListener("pointerdown", (event) => {
        if (event.target.closest("[data-key]") || event.button) return;
        const box = svg.getBoundingClientRect();
        const size = isUpright ? box.height : box.width;
        const at = (move) => Math.min(size, Math.max(0, isUpright ? move.clientY - box.top : move.clientX - box.left));
        const start = at(event);
        const mark = document.createElementNS(svg.namespaceURI, "rect");
        mark.setAttribute("class", "brush-mark");
        brushes.get(handle)?.mark.remove();
        brushes.delete(handle);
        (isUpright ? handle.parentElement : svg).append(mark);
        handle.setPointerCapture(event.pointerId);
        const move = (now) => {
          const [low, high] = [start, at(now)].sort((a, b) => a - b);
          const sides = isUpright
            ? { x: handle.getAttribute("x"), width: 12, y: low, height: high - low, transform: "translate(-6)" }
            : { x: `${100 * low / size}%`, width: `${100 * (high - low) / size}%`, y: 0, height: box.height };
          for (const [name, value] of Object.entries(sides)) mark.setAttribute(name, value);
          if (high - low < 3) brushes.delete(handle);
          else brushes.set(handle, { mark, keys: new Set(inside(low / size, high / size)) });
          brushed();
        };
        const end = () => {
          handle.removeEventListener("pointermove", move);
          if (!brushes.has(handle)) mark.remove();
        };
        move(event);
        handle.addEventListener("pointermove", move);
        handle.addEventListener("pointerup", end, { once: true });
        handle.addEventListener("pointercancel", end, { once: true });
      });
    };
    for (const svg of all(".plot > svg", place)) {
      const lines = all(".row[data-key]", svg);
      const points = all("svg.point[data-key]", svg);
      if (!lines.length && !points.length) continue;
      svg.classList.add("brushable");
      all(".brush", svg).forEach((handle, axis) => drag(handle, svg, true, (low, high) => lines
        .filter((line) => low <= line.points[axis].y / 1000 && line.points[axis].y / 1000 <= high)
        .map((line) => line.dataset.key)));
      if (points.length) drag(svg, svg, false, (low, high) => points
        .filter((point) => low <= parseFloat(point.getAttribute("x")) / 100 && parseFloat(point.getAttribute("x")) / 100 <= high)
        .map((point) => point.dataset.key));
    }
  }
})();
