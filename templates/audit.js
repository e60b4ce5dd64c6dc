"use strict";
(() => {
  const { rows } = JSON.parse(document.getElementById("rows").textContent);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const [LABEL, SUGGESTED, ACCEPTED] = [1, 2, 6];
  const header = "path,label,suggested,score,p_label,p_suggested,accepted";
  const cards = all(".suspects li");
  const classes = new Set(all("#classes option").map((option) => option.value));
  const words = new Set(["yes", "y", "x", "1", "no", "n", "0", "-", "remove"]);
  const [byClass, byState, count] = ["class", "state", "count"].map((id) => document.getElementById(id));
  if (!cards.length) {
    document.documentElement.dataset.ready = "true";
    return;
  }

  // Answers outlive the window where the browser lets a local page remember something.
  const key = `imgtrain-audit ${location.pathname}`;
  const memory = () => { try { return localStorage; } catch { return null; } };
  const name = (row) => row.slice(0, 3).join("\n");
  const remember = () => {
    const judged = rows.filter((row) => row[ACCEPTED]).map((row) => [name(row), row[ACCEPTED]]);
    try { memory()?.setItem(key, JSON.stringify(judged)); } catch { /* full: the file is what counts */ }
  };
  const recall = () => {
    try {
      const known = new Map(JSON.parse(memory()?.getItem(key) || "[]"));
      rows.forEach((row) => { row[ACCEPTED] = row[ACCEPTED] || known.get(name(row)) || ""; });
    } catch { /* nothing is remembered */ }
  };

  const rowOf = (card) => rows[Number(card.dataset.row)];
  // A class that is called like an answer is written as class:NAME, as the command wants it.
  const written = (label) => (words.has(label.toLowerCase()) ? `class:${label}` : label);

  function show(card) {
    const answer = rowOf(card)[ACCEPTED];
    const input = card.querySelector("input");
    if (answer) card.dataset.answer = answer;
    else delete card.dataset.answer;
    let pressed = false;
    all("button", card).forEach((button) => {
      const own = button.dataset.answer === answer;
      pressed = pressed || own;
      button.setAttribute("aria-pressed", String(own));
    });
    input.classList.remove("unknown");
    input.value = answer && !pressed ? answer.replace(/^class:/, "") : "";
  }

  function judge(card, answer) {
    const row = rowOf(card);
    row[ACCEPTED] = row[ACCEPTED] === answer ? "" : answer;
    show(card);
    remember();
    tell();
  }

  function choose(card, label) {
    const input = card.querySelector("input");
    if (!label) return judge(card, "");
    if (!classes.has(label)) return input.classList.add("unknown");
    const row = rowOf(card);
    const answer = { [row[LABEL]]: "no", [row[SUGGESTED]]: "yes" }[label] || written(label);
    if (row[ACCEPTED] !== answer) judge(card, answer);
    else show(card);
  }

  const visible = () => cards.filter((card) => !card.hidden);
  const tell = () => {
    const judged = rows.filter((row) => row[ACCEPTED]).length;
    count.textContent = `${visible().length} shown, ${judged} of ${rows.length} judged`;
  };

  function filter() {
    cards.forEach((card) => {
      const row = rowOf(card);
      const inClass = !byClass.value || [row[LABEL], row[SUGGESTED]].includes(byClass.value);
      const inState = !byState.value || (byState.value === "done") === Boolean(row[ACCEPTED]);
      card.hidden = !(inClass && inState);
    });
    tell();
  }

  function step(card, by) {
    const shown = visible();
    const next = shown[shown.indexOf(card) + by];
    if (!next) return;
    card.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  const keys = {
    ArrowRight: (card) => step(card, 1), j: (card) => step(card, 1),
    ArrowLeft: (card) => step(card, -1), k: (card) => step(card, -1),
    y: (card) => { judge(card, "yes"); step(card, 1); },
    n: (card) => { judge(card, "no"); step(card, 1); },
    r: (card) => { judge(card, "remove"); step(card, 1); },
    u: (card) => judge(card, ""),
    c: (card) => card.querySelector("input").focus(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const card = event.target.closest(".suspects li");
    if (event.target.matches("input")) {
      if (event.key === "Escape" || event.key === "Enter") {
        choose(card, event.target.value.trim());
        card.focus();
        event.preventDefault();
      }
      return;
    }
    if (event.target.matches("select")) return;
    const act = keys[event.key];
    const target = card || (event.key in keys && visible()[0]);
    if (!act || !target) return;
    event.preventDefault();
    if (card) act(card);
    else target.focus();
  });

  cards.forEach((card) => {
    card.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) judge(card, button.dataset.answer);
    });
    card.querySelector("input").addEventListener("change", (event) => choose(card, event.target.value.trim()));
  });

  const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  document.getElementById("save").addEventListener("click", () => {
    const lines = [header, ...rows.map((row) => row.map(cell).join(","))];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = "label_audit.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  byClass.addEventListener("change", filter);
  byState.addEventListener("change", filter);
  recall();
  cards.forEach(show);
  filter();
  document.documentElement.dataset.ready = "true";
})();
