"use strict";
// Draws a page's figures with plotly, where some are of kinds that charts.js does not know.
const charts = (() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Colours of the charts; the first six are safe for colour-blind readers (Okabe & Ito 2008).
  const themes = {
    light: {
      ink: "#1b1e22", muted: "#626a73", line: "#e3e4e1", raised: "#ffffff",
      palette: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00",
        "#7f6fd8", "#8c6d46", "#5a8f29", "#b5485d", "#3a8f94", "#8a8f98"],
    },
    dark: {
      ink: "#e8eaec", muted: "#9aa3ab", line: "#2d3236", raised: "#1a1d20",
      palette: ["#4ea8de", "#f0803c", "#2fc79a", "#e39cc4", "#8fd0f5", "#f0b740",
        "#a599f0", "#c4a27a", "#8fc45c", "#e0788d", "#62bcc1", "#b3b8c0"],
    },
  };
  const theme = () => themes[charts.isDark ? "dark" : "light"];

  const colourOf = (trace, { palette, ink }) => {
    const { colour } = trace.meta;
    return colour === "ink" ? ink : palette[colour % palette.length];
  };

  function dressed(trace, look, hidden) {
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

  function draw(place, figure) {
    const look = theme();
    const hidden = hiddenIn.get(place) || new Set();
    const data = figure.data.map((trace) => dressed(trace, look, hidden));
    place.dataset.drawn = "true";
    place.style.height = `${figure.layout.height}px`;  // plotly fits itself in, also when the window changes
    return Plotly.react(place, data, layoutOf(figure.layout, look), config).then(() => legend(place, figure, look, hidden));
  }

  function legend(place, figure, look, hidden) {
    const box = place.parentElement.querySelector(".legend");
    if (!box || figure.data.length < 2) return;
    const grouped = isGrouped(figure);
    // of lines that belong together (a fold's), the first one speaks for all
    const told = figure.data.filter((trace, i, every) =>
      !grouped || every.findIndex((other) => other.meta.label === trace.meta.label) === i);
    if (!box.children.length) {
      told.forEach((trace) => box.append(entry(place, figure, trace, hidden)));
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

  function entry(place, figure, trace, hidden) {
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
      draw(place, figure);
    });
    return button;
  }

  return { draw, isDark: false, isColoured: true };
})();
