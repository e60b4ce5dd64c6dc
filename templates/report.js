"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const figures = read("figures");
  const { curves, cells, pictures } = read("more");
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // ---- Light and dark: as the reader's system has it, or as chosen here.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => { try { return localStorage.getItem("imgtrain-theme"); } catch { return null; } };
  const toggle = document.getElementById("theme");
  const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const dress = () => toggle.setAttribute("aria-pressed", String(isDark()));
  const known = remembered();
  if (known === "light" || known === "dark") document.documentElement.dataset.theme = known;
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("imgtrain-theme", theme); } catch { /* it lasts as long as the page */ }
    dress();
  });
  dark.addEventListener("change", dress);

  // ---- Charts are drawn when they come near the window.
  const places = all("[data-figure]").filter((place) => figures[place.dataset.figure]);
  places.forEach((place) => { place.style.minHeight = `${figures[place.dataset.figure].layout.height}px`; });
  const draw = (place) => (place.offsetParent ? charts.draw(place, figures[place.dataset.figure]) : undefined);
  const near = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    near.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "400px 0px" });
  const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => { if (target.dataset.drawn) draw(target); }));
  function begin() {
    places.forEach((place) => { near.observe(place); resized.observe(place); });
    const [low, high] = [-400, innerHeight + 400];
    places.filter((place) => {
      const { top, bottom } = place.getBoundingClientRect();
      return bottom > low && top < high;
    }).forEach(draw);
  }

  // A class whose curves are not drawn at first.
  all("input[data-more]").forEach((input) => {
    const part = input.dataset.more;
    const status = input.closest(".search").querySelector("[role=status]");
    const add = () => {
      const found = curves[part][input.value];
      if (!found) return;
      const missing = ["roc", "pr"].filter((kind, k) => {
        const figure = figures[`${part}-${kind}`];
        if (!found[k]) return true;
        if (figure.data.some((trace) => trace.meta.label === input.value)) return false;
        const [x, y, value] = found[k];
        const colour = figure.data.length % 12;
        figure.data.push({ type: "scatter", mode: "lines", x: x.map((v) => v / 1000), y: y.map((v) => v / 1000), line: { width: 3 }, meta: { colour, label: input.value, value } });
        draw(document.querySelector(`[data-figure="${part}-${kind}"]`));
        return false;
      });
      status.textContent = missing.length ? `${input.value} has no such curve` : `${input.value} is drawn: ROC ${found[0][2]}, precision-recall ${found[1][2]}`;
      input.value = "";
    };
    input.addEventListener("input", add);
    input.addEventListener("change", add);
  });

  // ---- Tables: a click on a heading sorts; a second one turns the order; what is undefined stays last.
  function sort(heading) {
    const table = heading.closest("table");
    const column = heading.cellIndex;
    const numeric = heading.classList.contains("number");
    const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    all("thead th", table).forEach((other) => other.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const compare = numeric ? (a, b) => a - b : new Intl.Collator(undefined, { numeric: true }).compare;
    const rows = [...table.tBodies[0].rows].map((row) => {
      const { value } = row.cells[column].dataset;
      return { row, value: numeric && value !== undefined ? Number(value) : value };
    });
    rows.sort((one, other) => {
      const [a, b] = [one.value, other.value];
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return sign * compare(a, b);
    });
    table.tBodies[0].append(...rows.map(({ row }) => row));
  }
  all("table.sortable thead th").forEach((heading) =>
    heading.querySelector("button").addEventListener("click", () => sort(heading)));

  // A search box leaves the rows that hold all of its words; numbers are not looked at.
  all(".search input:not([data-more])").forEach((input) => {
    const table = input.closest("section").querySelectorAll("table");
    const own = [...table].find((each) => input.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_FOLLOWING);
    const status = input.closest(".search").querySelector("[role=status]");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      own.classList.toggle("searched", words.length > 0);
      let found = 0;
      [...own.tBodies[0].rows].forEach((row) => {
        const names = [...row.cells].filter((cell) => !cell.classList.contains("number"));
        const content = names.map((cell) => cell.textContent).join(" ").toLowerCase();
        row.hidden = !words.every((word) => content.includes(word));
        if (!row.hidden) found += 1;
      });
      status.textContent = words.length ? `${found.toLocaleString("en")} of ${own.tBodies[0].rows.length.toLocaleString("en")}` : "";
    });
  });

  // ---- The confusion matrix: arrow keys go from cell to cell, Enter shows the cell's pictures.
  all("table.confusion").forEach((table) => {
    const first = table.querySelector("button");
    if (first) first.tabIndex = 0;
    table.addEventListener("keydown", (event) => {
      const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [];
      const cell = event.target.closest("td");
      if (down === undefined || !cell) return;
      event.preventDefault();
      let [row, column] = [cell.parentElement.sectionRowIndex, cell.cellIndex];
      for (;;) {
        [row, column] = [row + down, column + right];
        const next = table.tBodies[0].rows[row]?.cells[column];
        if (!next || next.tagName !== "TD") return;
        const button = next.querySelector("button");
        if (button) {
          event.target.tabIndex = -1;
          button.tabIndex = 0;
          button.focus();
          return;
        }
      }
    });
  });

  const dialog = document.getElementById("cell");
  const element = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    Object.assign(node, attributes);
    node.append(...children);
    return node;
  };
  function show(button) {
    const [part, key] = button.dataset.cell.split(" ");
    const entries = cells[part]?.[key] || [];
    const title = button.getAttribute("aria-label");
    dialog.querySelector("h2").textContent = title;
    const shown = entries.filter(([, , number]) => number !== null);
    const items = shown.map(([path, prob, number]) => {
      const known = document.getElementById(`picture-${number}`);
      const image = element("img", { src: known ? known.src : pictures[number], alt: `${title}: ${path}` });
      if (known?.classList.contains("tiny")) image.className = "tiny";
      image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth < 64));
      const name = element("p", { className: "path", title: path }, element("bdi", {}, path));
      return element("li", {}, image, element("p", {}, element("b", {}, `${(100 * prob).toFixed(1)}%`)), name);
    });
    dialog.querySelector(".gallery").replaceChildren(...items);
    const rest = entries.filter(([, , number]) => number === null);
    dialog.querySelector(".paths").replaceChildren(...rest.map(([path, prob]) =>
      element("li", {}, element("bdi", {}, path), element("small", {}, ` ${(100 * prob).toFixed(1)}%`))));
    const every = Number(button.textContent.replace(/\D/g, ""));
    dialog.querySelector(".note").textContent = every > entries.length
      ? `${entries.length} of ${every.toLocaleString("en")}; predictions_${part}.csv lists all.` : "";
    dialog.showModal();
    dialog.scrollTop = 0;
  }
  all("button[data-cell]").forEach((button) => button.addEventListener("click", () => show(button)));
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  // ---- Galleries: where the model looked, over the picture.
  all("button.overlay").forEach((button) => button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    const [picture, overlay] = all("img", button.parentElement);
    button.setAttribute("aria-pressed", String(on));
    picture.hidden = on;
    overlay.hidden = !on;
  }));

  // ---- Tabs and navigation.
  function choose(tab) {
    all("[role=tab]").forEach((other) => {
      const own = other === tab;
      other.setAttribute("aria-selected", String(own));
      other.tabIndex = own ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !own;
    });
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
      links.forEach((link) => {
        const own = link === targets.get(seen.target);
        link.classList.toggle("here", own);
        if (own) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      });
    }, { rootMargin: "-30% 0px -65% 0px" });
    targets.forEach((_, target) => observer.observe(target));
  }
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

  // ---- Print: on paper, in light, with everything drawn and unfolded.
  let [folded, behind] = [[], []];
  addEventListener("beforeprint", () => {
    behind = all("[role=tabpanel][hidden]");
    behind.forEach((panel) => { panel.hidden = false; });
    folded = all("details:not([open])").filter((each) => each.querySelectorAll("tr, li").length <= 60);
    folded.forEach((each) => { each.open = true; });
    places.forEach(draw);
  });
  addEventListener("afterprint", () => {
    behind.forEach((panel) => { panel.hidden = true; });
    folded.forEach((each) => { each.open = false; });
  });

  watch();
  dress();
  begin();
  document.documentElement.dataset.ready = "true";
})();
