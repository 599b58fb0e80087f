/* Draws the figures of plotly when they are seen, all of them before the page is printed. */
(() => {
  "use strict";
  const places = [...document.querySelectorAll(".plotly-place")];
  let library;

  async function unpack() {
    const packed = atob(document.getElementById("mlkit-plotly").textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.Plotly;
  }

  function look(print) {
    const ink = print ? "#1b1f24" : getComputedStyle(document.body).color;
    const line = "rgba(128,128,128,.28)";
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
    const clear = "rgba(0,0,0,0)";
    return {
      layout: {
        paper_bgcolor: clear, plot_bgcolor: clear, font: { color: ink, family: "system-ui, sans-serif" },
        xaxis: axis, yaxis: axis, colorway: ["#0b6bcb", "#d9730d", "#1a7f4b", "#9a4cc4", "#b42318", "#5b6570"],
        legend: { orientation: "h", y: -0.2 }, margin: { t: 40, r: 20 },
      },
    };
  }

  function own(figure) {
    return figure.layout && figure.layout.template;
  }

  async function draw(place) {
    if (place.dataset.state) return;
    place.dataset.state = "waits";
    const Plotly = await (library = library || unpack());
    const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    const layout = { ...figure.layout, autosize: true };
    delete layout.width;
    if (!own(figure)) layout.template = look(false);
    else place.dataset.own = "yes";
    await Plotly.newPlot(place, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
    place.dataset.state = "drawn";
  }

  function failed(place) {
    return (error) => {
      place.dataset.state = "failed";
      place.textContent = "This figure could not be drawn here: " + error.message;
    };
  }

  function again(print) {
    for (const place of places) {
      if (place.dataset.state !== "drawn") continue;
      if (!place.dataset.own) window.Plotly.relayout(place, { template: look(print) });
      if (print) window.Plotly.Plots.resize(place);
    }
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) draw(entry.target).catch(failed(entry.target));
    }
  }, { rootMargin: "200px" });
  places.forEach((place) => seen.observe(place));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => again(false));
  new MutationObserver(() => again(false)).observe(document.documentElement, { attributes: true });
  addEventListener("beforeprint", () => {
    places.forEach((place) => draw(place).catch(failed(place)));
    again(true);
  });
  addEventListener("afterprint", () => again(false));
})();
