"use strict";
// Draws the page's figures as SVG: lines, dots with intervals and bars, as plain data in the form that
// plotly's JSON has. Colours are variables of the style sheet, so that light, dark and print need no redrawing.
const charts = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const LETTER = 6.4;  // CSS pixels that a letter of an axis takes on average
  const make = (name, attributes = {}, parent = null) => {
    const node = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    if (parent) parent.append(node);
    return node;
  };
  // Figures escape their names for readers of tags; here every text is text.
  const plain = (words) => String(words ?? "").replace(/&(lt|gt|amp|#36);/g,
    (_, code) => ({ lt: "<", gt: ">", amp: "&", "#36": "$" })[code]);
  const cut = (words, most) => (words.length > most ? `${words.slice(0, Math.max(1, most - 1))}…` : words);
  const told = (words) => String(words ?? "").split("<br>").map(plain).join("\n");
  const colourOf = (trace) => (trace.meta.colour === "ink" ? "var(--ink)" : `var(--c${trace.meta.colour % 12})`);
  const list = (value, i, otherwise) => (Array.isArray(value) ? value[i] : value) ?? otherwise;

  function written(value, spec) {
    if (!Number.isFinite(value)) return plain(value);
    const [, digits] = /\.(\d+)/.exec(spec || "") || [];
    if ((spec || "").endsWith("%")) return `${(100 * value).toFixed(digits || 0)}%`;
    if ((spec || "").endsWith("f")) return value.toFixed(digits);
    if (spec === "d" || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
    if (spec === "~e" || Math.abs(value) < 1e-3) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
    return String(Number(value.toPrecision(Number(digits) || 4)));
  }

  function ticksOf(axis, low, high, room) {
    if (axis.tickvals) return axis.tickvals.map((at, i) => [at, told(axis.ticktext?.[i] ?? at)]);
    if (axis.type === "log") {
      const ends = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
      const parts = ends[1] - ends[0] < 2 ? [1, 2, 5] : [1];
      const found = [];
      for (let k = ends[0] - 1; k <= ends[1]; k += 1) parts.forEach((part) => found.push(part * 10 ** k));
      return found.filter((at) => at >= low * 0.999 && at <= high * 1.001).map((at) => [at, written(Number(at.toPrecision(3)), axis.tickformat)]);
    }
    let step = 10 ** Math.floor(Math.log10((high - low) / Math.max(2, room)));
    step *= [1, 2, 5, 10].find((factor) => (high - low) / (factor * step) <= Math.max(2, room)) || 10;
    if (axis.dtick || axis.tickformat === "d") step = Math.max(1, Math.round(step));
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) {
      const at = Number((k * step).toPrecision(12));
      const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
      const own = /[%e]$|^d$/.test(axis.tickformat || "");
      const percent = (axis.tickformat || "").endsWith("%");
      const spec = percent ? `.${Math.max(0, digits - 2)}%` : axis.tickformat;
      found.push([at, own ? written(at, spec) : at.toLocaleString("en", { minimumFractionDigits: Math.min(digits, 6), maximumFractionDigits: 6 })]);
    }
    return found;
  }

  function rangeOf(axis, values, { zero = false, tight = false } = {}) {
    if (axis.range) return axis.range;
    const known = values.filter((value) => Number.isFinite(value) && (axis.type !== "log" || value > 0));
    if (!known.length) return [0, 1];
    let [low, high] = [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))];
    if (axis.type === "log") return low === high ? [low / 2, high * 2] : [low / 1.12, high * 1.12];
    if (zero) { low = Math.min(0, low); high = Math.max(0, high); }
    if (axis.rangemode === "tozero") low = Math.min(0, low);
    const room = (high - low || Math.abs(high) || 1) * (tight ? 0.02 : 0.06);
    return [zero && low === 0 ? 0 : low - room, zero && high === 0 ? 0 : high + room];
  }

  const scaleOf = (axis, [low, high], [from, to]) => {
    const turn = axis.type === "log" ? Math.log10 : Number;
    const [a, b] = [turn(low), turn(high)];
    return (value) => from + ((turn(value) - a) / (b - a || 1)) * (to - from);
  };

  const withIntervals = (data, key) => data.flatMap((trace) => {
    const bars = trace[`error_${key}`];
    if (!bars) return trace[key];
    return trace[key].flatMap((value, i) => [value + (bars.array[i] || 0), value - (bars.arrayminus?.[i] ?? bars.array[i] ?? 0)]);
  });

  // Bars that lie on their side stand on places of the y axis, from below.
  function upright(figure) {
    const lying = figure.data.find((trace) => trace.orientation === "h");
    if (!lying) return figure;
    const names = lying.y;
    const places = names.map((_, i) => i);
    const yaxis = { ...figure.layout.yaxis, tickvals: places, ticktext: names, range: [-0.6, names.length - 0.4], showgrid: false };
    return { data: [{ ...lying, y: places, names }], layout: { ...figure.layout, yaxis } };
  }

  function geometry(figure, width) {
    const { layout, data } = figure;
    const [xaxis, yaxis] = [layout.xaxis || {}, layout.yaxis || {}];
    const bars = data.some((trace) => trace.type === "bar");
    const middles = (trace) => (trace.width ? trace.x.flatMap((x, i) => [x - list(trace.width, i) / 2, x + list(trace.width, i) / 2]) : trace.x);
    const xs = data.some((trace) => trace.error_x) ? withIntervals(data, "x") : data.flatMap(middles);
    const shapes = (layout.shapes || []).filter((shape) => shape.yref === "paper" && shape.x0 === shape.x1);
    const xrange = rangeOf(xaxis, [...xs, ...shapes.map((shape) => shape.x0)], { tight: true });
    const ysUp = data.some((trace) => trace.error_y) ? withIntervals(data, "y") : data.flatMap((trace) => trace.y);
    const yrange = rangeOf(yaxis, ysUp, { zero: bars });
    const height = layout.height;
    const yticks = ticksOf(yaxis, ...yrange, (height - 50) / 44);
    const most = Math.max(3, Math.floor((width * 0.42) / LETTER));
    const longestY = yaxis.visible === false ? 0 : Math.max(0, ...yticks.map(([, words]) => Math.min(words.length, most)));
    const left = Math.min(longestY * LETTER + 12, width * 0.45) + (yaxis.title?.text ? 16 : 0);
    const lines = Math.max(1, ...(xaxis.ticktext || []).map((words) => String(words).split("<br>").length));
    const box = { left, right: width - 12, top: 10, bottom: height - (xaxis.title?.text ? 42 : 26) - 13 * (lines - 1) };
    const longest = xaxis.dtick ? 28 : 62;
    const xticks = ticksOf(xaxis, ...xrange, (box.right - box.left) / longest);
    const up = yaxis.autorange === "reversed" ? [box.top, box.bottom] : [box.bottom, box.top];
    const yends = yaxis.autorange === "reversed" && !yaxis.range ? [yrange[0] - 0.3, yrange[1] + 0.3] : yrange;
    return {
      xaxis, yaxis, box, xticks, yticks, most, width, height,
      x: scaleOf(xaxis, xrange, [box.left, box.right]), y: scaleOf(yaxis, yends, up),
    };
  }

  function axes(svg, at) {
    const { box } = at;
    const grid = make("g", { class: "grid" }, svg);
    (at.yaxis.visible === false ? [] : at.yticks).forEach(([value, words]) => {
      const y = at.y(value);
      if (at.yaxis.showgrid !== false) make("line", { x1: box.left, x2: box.right, y1: y, y2: y }, grid);
      const label = make("text", { x: box.left - 6, y, "text-anchor": "end", "dominant-baseline": "central", class: "ytick" }, grid);
      label.textContent = cut(words, at.most);
    });
    let free = -Infinity;
    at.xticks.forEach(([value, words]) => {
      const x = at.x(value);
      if (at.xaxis.showgrid !== false) make("line", { x1: x, x2: x, y1: box.top, y2: box.bottom }, grid);
      const rows = words.split("\n");
      const half = (Math.max(...rows.map((row) => row.length)) * LETTER) / 2;
      if (x - half < free) return;
      free = x + half + 6;
      const middle = Math.max(half, Math.min(x, at.width - half));
      const label = make("text", { y: box.bottom + 16, "text-anchor": "middle", class: "xtick" }, grid);
      rows.forEach((row, i) => { make("tspan", { x: middle, dy: i ? 13 : 0 }, label).textContent = row; });
    });
    const titled = (words, attributes) => { if (words) make("text", { class: "title", "text-anchor": "middle", ...attributes }, svg).textContent = plain(words); };
    titled(at.xaxis.title?.text, { x: (box.left + box.right) / 2, y: at.height - 6 });
    const middle = (box.top + box.bottom) / 2;
    titled(at.yaxis.title?.text, { transform: `translate(11 ${middle}) rotate(-90)` });
  }

  function path(trace, at) {
    let pen = "M";
    return trace.x.map((x, i) => {
      if (trace.y[i] === null || trace.y[i] === undefined) { pen = "M"; return ""; }
      const across = pen === "L" && trace.line?.shape === "hv" ? `H${at.x(x).toFixed(1)}` : "";
      const step = `${across}${pen}${at.x(x).toFixed(1)} ${at.y(trace.y[i]).toFixed(1)}`;
      pen = "L";
      return step;
    }).join("");
  }

  const DASHES = { dash: "7 4", dot: "2 3" };

  function scatter(group, trace, at) {
    const line = trace.line || {};
    if ((trace.mode || "").includes("lines")) {
      make("path", { d: path(trace, at), class: "line", "stroke-width": line.width || 2, "stroke-dasharray": DASHES[line.dash] || "none" }, group);
    }
    const bars = trace.error_x;
    if (bars) {
      trace.x.forEach((x, i) => {
        const [a, b] = [at.x(x - (bars.arrayminus?.[i] ?? bars.array[i])), at.x(x + bars.array[i])];
        const y = at.y(trace.y[i]);
        make("path", { d: `M${a} ${y}H${b}M${a} ${y - 5}v10M${b} ${y - 5}v10`, class: "line", "stroke-width": 1.5 }, group);
      });
    }
    if ((trace.mode || "").includes("markers")) {
      const marker = trace.marker || {};
      trace.x.forEach((x, i) => {
        const radius = list(marker.size, i, 7) / 2;
        const [cx, cy] = [at.x(x), at.y(trace.y[i])];
        if (marker.symbol === "line-ns-open") make("path", { d: `M${cx} ${cy - radius}V${cy + radius}`, class: "line", "stroke-width": 2.5 }, group);
        else make("circle", { cx, cy, r: radius, opacity: list(marker.opacity, i, 1) }, group);
      });
    }
  }

  function bar(group, trace, at) {
    trace.x.forEach((x, i) => {
      if (trace.names) {
        const [a, b] = [at.x(0), at.x(x)];
        const thick = Math.min(22, Math.abs(at.y(0) - at.y(1)) * 0.7);
        make("rect", { x: a, width: Math.max(1, b - a), y: at.y(i) - thick / 2, height: thick }, group);
        make("text", { x: b + 6, y: at.y(i), "dominant-baseline": "central" }, group).textContent = plain(list(trace.text, i, ""));
        return;
      }
      const half = list(trace.width, i, 0.8) / 2;
      const [a, b] = [at.x(x - half), at.x(x + half)];
      const [zero, top] = [at.y(0), at.y(trace.y[i])];
      const attributes = { x: a, width: Math.max(1, b - a), y: Math.min(zero, top), height: Math.max(1, Math.abs(zero - top)), opacity: list(trace.marker?.opacity, i, 1) };
      make("rect", attributes, group);
    });
  }

  function shapes(svg, figure, at) {
    const group = make("g", { class: "shapes" }, svg);
    (figure.layout.shapes || []).forEach((shape) => {
      const upright = shape.yref === "paper";
      make("line", {
        x1: at.x(shape.x0), x2: at.x(shape.x1),
        y1: upright ? at.box.bottom : at.y(shape.y0), y2: upright ? at.box.top : at.y(shape.y1), "stroke-dasharray": DASHES[shape.line?.dash] || "none",
      }, group);
    });
  }

  function annotations(svg, figure, at) {
    (figure.layout.annotations || []).forEach((mark) => {
      const anchor = { left: "start", right: "end" }[mark.xanchor] || "middle";
      const [x, y] = [at.x(mark.x) + (mark.xshift || 0), at.y(mark.y) - (mark.yshift || 0)];
      const low = { top: 10, bottom: -4 }[mark.yanchor] ?? 4;
      make("text", { x, y: y + low, "text-anchor": anchor, class: "mark" }, svg).textContent = plain(mark.text);
    });
  }

  // What a pointer at a point is told: the figure's own template, or all there is.
  function tip(trace, i, at) {
    const template = trace.hovertemplate;
    if (!template) {
      const [x, y] = [written(trace.x[i], at.xaxis.tickformat === "d" ? "d" : ""), written(trace.y[i], (at.yaxis.tickformat || "").endsWith("%") ? ".1%" : "")];
      return [`${plain(trace.meta.label)}: ${y}`, `${plain(at.xaxis.title?.text || "x")} ${x}`];
    }
    const parts = { x: trace.x[i], y: trace.names ? trace.names[i] : trace.y[i], text: list(trace.text, i, ""), customdata: list(trace.customdata, i, "") };
    return template.replace(/<extra>.*<\/extra>/, "").split("<br>").map((line) => line.replace(
      /%\{(\w+)(?:\[(\d+)\])?(?::([^}]*))?\}/g,
      (_, key, place, spec) => written(place === undefined ? parts[key] : parts[key]?.[place], spec)));
  }

  function hovering(place, svg, drawn) {
    const box = document.createElement("div");
    box.className = "tip";
    box.hidden = true;
    place.append(box);
    const dot = make("circle", { r: 4.5, class: "here", visibility: "hidden" }, svg);
    const leave = () => { box.hidden = true; dot.setAttribute("visibility", "hidden"); drawn.pale?.(); };
    const move = (event) => {
      const { left, top, width } = svg.getBoundingClientRect();
      const scale = drawn.at.width / width;
      const [px, py] = [(event.clientX - left) * scale, (event.clientY - top) * scale];
      const together = drawn.figure.layout.hovermode === "x unified";
      let best = null;
      drawn.traces.forEach(({ trace, group }) => {
        if (group.classList.contains("hidden")) return;
        trace.x.forEach((x, i) => {
          if (trace.y[i] === null) return;
          const [x0, y0] = [drawn.at.x(x), drawn.at.y(trace.y[i])];
          const far = trace.type === "bar" || together ? Math.abs(x0 - px) + Math.abs(y0 - py) / 1000 : Math.hypot(x0 - px, y0 - py);
          if (!best || far < best.far) best = { far, trace, i, x0, y0 };
        });
      });
      if (!best || best.far > (together ? 60 : 40)) return leave();
      const lines = together ? [`${plain(drawn.at.xaxis.title?.text)} ${written(best.trace.x[best.i])}`] : tip(best.trace, best.i, drawn.at);
      if (together) {
        drawn.traces.forEach(({ trace, group }) => {
          const i = trace.x.indexOf(best.trace.x[best.i]);
          if (i >= 0 && !group.classList.contains("hidden")) lines.push(tip(trace, i, drawn.at)[0]);
        });
      }
      box.replaceChildren(...lines.map((words) => { const line = document.createElement("div"); line.textContent = words; return line; }));
      box.hidden = false;
      const [x, y] = [best.x0 / scale, best.y0 / scale];
      box.style.left = `${Math.max(0, Math.min(x + 12, place.clientWidth - box.offsetWidth))}px`;
      box.style.top = `${Math.max(0, y - box.offsetHeight - 10)}px`;
      ["cx", "cy"].forEach((key, k) => dot.setAttribute(key, [best.x0, best.y0][k]));
      dot.setAttribute("visibility", best.trace.type === "bar" ? "hidden" : "visible");
      dot.style.setProperty("--c", colourOf(best.trace));
      drawn.pale?.(best.trace.meta.label);
    };
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerdown", move);
    svg.addEventListener("pointerleave", leave);
  }

  const states = new WeakMap();

  // Fills the place with its figure, as wide as the place is now.
  function draw(place, figure) {
    const width = place.clientWidth;
    const known = states.get(place);
    if (!width || (known && known.width === width && known.count === figure.data.length)) return;
    const hidden = known ? known.hidden : new Set();
    const shown = upright(figure);
    const at = geometry(shown, width);
    const svg = make("svg", { viewBox: `0 0 ${width} ${at.height}`, "aria-hidden": "true", focusable: "false" });
    axes(svg, at);
    const clip = `clip-${place.dataset.figure}`;  // of axes with a range of their own
    const { box } = at;
    make("rect", { x: box.left - 6, y: box.top - 6, width: box.right - box.left + 12, height: box.bottom - box.top + 9 }, make("clipPath", { id: clip }, svg));
    const lines = make("g", { class: "traces", "clip-path": `url(#${clip})` }, svg);
    const traces = shown.data.map((trace) => {
      const group = make("g", { class: "trace" }, lines);
      group.style.setProperty("--c", colourOf(trace));
      group.classList.toggle("hidden", hidden.has(trace.meta.label));
      if (trace.opacity !== undefined) group.setAttribute("opacity", trace.opacity);
      (trace.type === "bar" ? bar : scatter)(group, trace, at);
      return { trace, group };
    });
    shapes(svg, figure, at);
    annotations(svg, figure, at);
    place.replaceChildren(svg);
    const drawn = { figure, at, traces, hidden, width, count: figure.data.length };
    states.set(place, drawn);
    if (figure.layout.meta?.grouped) {
      drawn.pale = (label) => traces.forEach(({ trace, group }) => group.classList.toggle("pale", label !== undefined && trace.meta.label !== label));
    }
    hovering(place, svg, drawn);
    legend(place, figure);
    place.dataset.drawn = "true";
  }

  // Of lines that belong together (a fold's), the first one speaks for all.
  function legend(place, figure) {
    const box = place.parentElement.querySelector(".legend");
    const drawn = () => states.get(place);
    if (!box || figure.data.length < 2) return;
    const told = figure.data.filter((trace, i, every) => every.findIndex((other) => other.meta.label === trace.meta.label) === i);
    if (box.children.length === told.length) return;
    box.replaceChildren(...told.map((trace) => {
      const [button, mark, words] = ["button", "i", "span"].map((name) => document.createElement(name));
      const { label, value } = trace.meta;
      button.type = "button";
      mark.style.borderTopColor = colourOf(trace);
      mark.style.borderTopStyle = { dash: "dashed", dot: "dotted" }[trace.line?.dash] || "solid";
      words.textContent = label;
      button.append(mark, words);
      if (value) { const number = document.createElement("em"); number.textContent = value; button.append(number); }
      button.setAttribute("aria-pressed", String(!drawn().hidden.has(label)));
      button.addEventListener("click", () => {
        const { hidden, traces } = drawn();
        const off = !hidden.delete(label);
        if (off) hidden.add(label);
        button.setAttribute("aria-pressed", String(!off));
        traces.forEach((each) => { if (each.trace.meta.label === label) each.group.classList.toggle("hidden", off); });
      });
      for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => drawn().pale?.(label));
      for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => drawn().pale?.());
      return button;
    }));
  }

  return { draw };
})();
