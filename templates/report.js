"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Colours of the charts; the first six are safe for colour-blind readers (Okabe & Ito 2008).
  const themes = {
    light: {
      ink: "#1b1e22", muted: "#626a73", line: "#e3e4e1", raised: "#ffffff",
      palette: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00",
        "#7f6fd8", "#8c6d46", "#5a8f29", "#b5485d", "#3a8f94", "#8a8f98"],
      matrix: [[0, "#f3f6f9"], [0.02, "#e2ecf6"], [0.25, "#b5d0ea"], [0.6, "#4a8ac4"], [1, "#0b4a8c"]],
    },
    dark: {
      ink: "#e8eaec", muted: "#9aa3ab", line: "#2d3236", raised: "#1a1d20",
      palette: ["#4ea8de", "#f0803c", "#2fc79a", "#e39cc4", "#8fd0f5", "#f0b740",
        "#a599f0", "#c4a27a", "#8fc45c", "#e0788d", "#62bcc1", "#b3b8c0"],
      matrix: [[0, "#1a1d20"], [0.02, "#1f2b36"], [0.25, "#214463"], [0.6, "#2d6aa0"], [1, "#5aa5e6"]],
    },
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;
  const theme = () => themes[dark.matches && !printing ? "dark" : "light"];

  const colourOf = (trace, { palette, ink }) => {
    const { colour } = trace.meta;
    return colour === "ink" ? ink : palette[colour % palette.length];
  };

  function dressed(trace, look, hidden) {
    if (trace.meta.colour === "matrix") return { ...trace, colorscale: look.matrix };
    const colour = colourOf(trace, look);
    return {
      ...trace,
      visible: !hidden.has(trace.meta.label),
      line: { ...trace.line, color: colour },
      marker: { ...trace.marker, color: colour },
    };
  }

  function layoutOf(layout, look) {
    const axis = {
      gridcolor: look.line, zeroline: false, linecolor: look.line, automargin: true,
      tickfont: { color: look.muted, size: 11 }, fixedrange: !matchMedia("(pointer: fine)").matches,
    };
    const dress = (own = {}) => ({
      ...axis, ...own,
      title: { standoff: 8, ...own.title, font: { color: look.muted, size: 12 } },
    });
    const { height, ...rest } = layout;
    return {
      ...rest,
      xaxis: dress(layout.xaxis),
      yaxis: dress(layout.yaxis),
      shapes: (layout.shapes || []).map((s) => ({ ...s, layer: "above", line: { ...s.line, color: look.muted } })),
      margin: { l: 44, r: 10, t: 8, b: 40 },
      showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, color: look.ink, size: 12 },
      hoverlabel: { bgcolor: look.raised, bordercolor: look.line, font: { color: look.ink, size: 12 }, align: "left" },
    };
  }

  const config = { displaylogo: false, displayModeBar: false, responsive: true };
  const hiddenIn = new Map();

  function draw(place) {
    const figure = figures[place.dataset.figure];
    if (!figure || !place.offsetParent) return Promise.resolve();
    const look = theme();
    const hidden = hiddenIn.get(place) || new Set();
    const data = figure.data.map((trace) => dressed(trace, look, hidden));
    place.dataset.drawn = "true";
    place.style.height = `${figure.layout.height}px`;  // plotly fits itself in, also when the window changes
    return Plotly.react(place, data, layoutOf(figure.layout, look), config).then(() => legend(place, look, hidden));
  }

  function legend(place, look, hidden) {
    const box = place.parentElement.querySelector(".legend");
    const figure = figures[place.dataset.figure];
    if (!box || figure.data.length < 2) return;
    const grouped = isGrouped(figure);
    // of lines that belong together (a fold's), the first one speaks for all
    const told = figure.data.filter((trace, i, every) =>
      !grouped || every.findIndex((other) => other.meta.label === trace.meta.label) === i);
    if (!box.children.length) {
      told.forEach((trace) => box.append(entry(place, trace, hidden)));
      hiddenIn.set(place, hidden);
      if (grouped) highlight(place, box, told);
    }
    told.forEach((trace, i) => {
      const button = box.children[i];
      const mark = button.querySelector("i");
      mark.style.borderTopColor = colourOf(trace, look);
      mark.style.borderTopStyle = (trace.line || {}).dash === "dash" ? "dashed" : "solid";
      button.setAttribute("aria-pressed", String(!hidden.has(trace.meta.label)));
    });
  }

  const isGrouped = (figure) => Boolean((figure.layout.meta || {}).grouped);

  // Pointing at a line, or at its entry in the legend, makes the others pale.
  function highlight(place, box, told) {
    const pale = (label) => all(".scatterlayer .trace", place).forEach((line) => {
      const own = line.__data__[0].trace.meta.label;  // as d3 binds it
      line.style.opacity = label === undefined || own === label ? 1 : 0.15;
    });
    place.on("plotly_hover", (event) => pale(event.points[0].data.meta.label));
    place.on("plotly_unhover", () => pale());
    [...box.children].forEach((button, i) => {
      for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => pale(told[i].meta.label));
      for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => pale());
    });
  }

  function entry(place, trace, hidden) {
    const button = document.createElement("button");
    const words = document.createElement("span");
    button.type = "button";
    words.textContent = trace.meta.label;
    button.append(document.createElement("i"), words);
    if (trace.meta.value) {
      const value = document.createElement("em");
      value.textContent = trace.meta.value;
      button.append(value);
    }
    button.addEventListener("click", () => {
      if (!hidden.delete(trace.meta.label)) hidden.add(trace.meta.label);
      draw(place);
    });
    return button;
  }

  const drawAll = () => Promise.all(all("[data-figure]").map(draw));

  // A click on a heading sorts; a second one turns the order; what is undefined stays last.
  function sort(heading) {
    const table = heading.closest("table");
    const column = heading.cellIndex;
    const numeric = heading.classList.contains("number");
    const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    all("thead th", table).forEach((other) => other.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const value = (row) => row.cells[column].dataset.value;
    const compare = numeric
      ? (a, b) => Number(a) - Number(b)
      : new Intl.Collator(undefined, { numeric: true }).compare;
    const rows = all("tbody tr", table).sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return sign * compare(a, b);
    });
    table.tBodies[0].append(...rows);
  }

  function choose(tab) {
    all("[role=tab]").forEach((other) => {
      const own = other === tab;
      other.setAttribute("aria-selected", String(own));
      other.tabIndex = own ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !own;
    });
    drawAll();
    watch();
  }

  // The navigation names the part in the middle of the screen, and follows the chosen tab.
  let observer;
  function watch() {
    if (observer) observer.disconnect();
    const panel = document.querySelector("[role=tabpanel]:not([hidden])");
    const links = all("nav a");
    const targets = new Map();
    links.forEach((link) => {
      const [, topic] = link.hash.match(/^#(?:test|val|oof)-(.+)$/) || [];
      if (topic && panel) link.setAttribute("href", `#${panel.id.replace("panel-", "")}-${topic}`);
      const target = document.getElementById(link.hash.slice(1));
      if (target) targets.set(target, link);
    });
    observer = new IntersectionObserver((entries) => {
      const seen = entries.find((e) => e.isIntersecting);
      if (!seen) return;
      links.forEach((link) => link.classList.toggle("here", link === targets.get(seen.target)));
    }, { rootMargin: "-30% 0px -65% 0px" });
    targets.forEach((_, target) => observer.observe(target));
  }

  all("table.sortable thead th").forEach((heading) =>
    heading.querySelector("button").addEventListener("click", () => sort(heading)));
  all("[role=tab]").forEach((tab, i, tabs) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(i + step + tabs.length) % tabs.length];
      next.focus();
      choose(next);
    });
  });
  all("[data-copy]").forEach((button) => {
    const source = document.getElementById(button.dataset.copy);
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", () => navigator.clipboard.writeText(`${source.textContent}\n`)
      .then(() => { button.textContent = "Copied"; }, () => getSelection().selectAllChildren(source)));
  });
  dark.addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { printing = true; drawAll(); });
  addEventListener("afterprint", () => { printing = false; drawAll(); });
  watch();
  drawAll().then(() => { document.documentElement.dataset.ready = "true"; });
})();
