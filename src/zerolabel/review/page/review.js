"use strict";
/* The page: one image at a time, or the images of one predicted class side by side. */
(() => {
  const by = (id) => document.getElementById(id);
  const make = (tag, text, attributes = {}) => {
    const node = document.createElement(tag);
    node.textContent = text;
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };

  const { percent, level, keysOf, search, interval, meaning, score, decided } = words;

  let about, keys, view = "measure", kind = "measure", items = [], answers = {}, shown = {}, at = 0, history = [];
  let standing = null;
  let matches = [], chosen = 0, page = { items: [], left: 0 }, wrong = new Set();
  let pending = Promise.resolve();

  /* One thing after the other: a key that is pressed while an answer is saved waits for it. */
  function queued(work) {
    pending = pending.then(work).then(() => { by("trouble").hidden = true; }, (error) => {
      by("trouble").textContent = `Not saved: ${error.message}.`;
      by("trouble").hidden = false;
    });
  }

  function word(choice) {
    return choice === "none" ? "none of these" : choice === "unsure" ? "unsure" : about.classes[choice];
  }

  /* ---- one image ---- */
  const place = () => items[at];
  const answered = (one) => Object.hasOwn(answers, one);
  const firstOpen = () => items.findIndex((one) => !answered(one));

  async function open(name) {
    view = name;
    for (const button of document.querySelectorAll("[data-view]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === name));
    }
    if (name === "grid") return openGrid();
    kind = name;
    await read();
    history = [];
    by("shown").textContent = "";
    at = open_();
    draw();
  }

  async function read() {
    const queue = await backend.queue(kind);
    [items, answers, shown, standing] = [queue.items, queue.answers, queue.shown, queue.standing || null];
  }

  /* The next question; none where all are answered, or it is decided which of two answers is better. */
  const open_ = () => (kind === "compare" && about.verdict.better ? -1 : firstOpen());

  function show(section) {
    for (const id of ["ask", "grid", "done"]) by(id).hidden = id !== section;
  }

  function draw() {
    if (at < 0 || at >= items.length) return drawDone();
    show("ask");
    const image = by("image");
    image.alt = `Image ${at + 1} of ${standing ? standing.n : items.length}`;
    image.src = backend.image(kind, place(), "large");
    for (const next of items.slice(at + 1, at + 3)) new Image().src = backend.image(kind, next, "large");
    if (kind === "correct" && shown[place()]) tell(shown[place()]);
    by("search").value = "";
    drawChoices();
    drawProgress();
    if (keys === null) by("search").focus({ preventScroll: true });
  }

  function drawChoices() {
    const box = by("choices"), given = answers[place()];
    if (keys !== null) {
      box.replaceChildren(...about.classes.map((name, id) => {
        const button = make("button", name, { type: "button", "data-choice": id, "aria-keyshortcuts": keys[id] });
        if (keys[id] !== name.toLowerCase()) button.append(" ", make("kbd", keys[id]));
        button.setAttribute("aria-pressed", String(given === id));
        return button;
      }));
    } else {
      matches = search(about.classes, by("search").value, hinted());
      chosen = Math.min(chosen, Math.max(matches.length - 1, 0));
      box.replaceChildren(...matches.map((id, row) => make("button", about.classes[id], {
        type: "button", role: "option", id: `match${row}`, "data-choice": id, tabindex: "-1",
        "aria-selected": String(row === chosen),
      })));
      const none = by("search").value.trim() ? "No class has these letters." : `${about.classes.length} classes: type a part of a name.`;
      if (!matches.length) box.replaceChildren(make("p", none, { class: "soft" }));
      by("search").setAttribute("aria-activedescendant", matches.length ? `match${chosen}` : "");
    }
    for (const button of document.querySelectorAll(".commands [data-choice]")) {
      button.setAttribute("aria-pressed", String(given === button.dataset.choice));
    }
  }

  /* The classes that an image shows before a letter is typed: its answer and its candidates. */
  function hinted() {
    const given = answers[place()], candidates = (shown[place()] || {}).candidates || [];
    return [...(typeof given === "number" ? [given] : []), ...candidates];
  }

  function drawProgress() {
    by("marked").textContent = about.marked ? `(${about.marked})` : "";
    if (standing) {
      [by("bar").value, by("bar").max] = [standing.done, Math.max(standing.n, 1)];
      by("status").textContent = standing.status;
      return;
    }
    if (kind === "compare") return drawCompared();
    const measuring = kind === "measure", m = about.measured;
    const done = measuring ? about.done : items.filter(answered).length, n = measuring ? about.n : items.length;
    [by("bar").value, by("bar").max] = [done, Math.max(n, 1)];
    let text = `${done} of ${n} ${measuring ? "checked" : "named"}`;
    if (measuring && m) text += `, ${interval(m)}`;
    by("status").textContent = text;
  }

  function drawCompared() {
    const v = about.verdict;
    [by("bar").value, by("bar").max] = [v.answers, Math.max(v.differing, 1)];
    by("status").textContent = `${v.answers} of ${v.differing} that differ checked: ${score(about)}`;
  }

  /* What was predicted: beside an image that was marked wrong, else only after its answer. */
  function tell(said, outcome, choice) {
    const line = by("shown");
    if (said === null) {
      line.className = "";
      line.textContent = choice === undefined ? "" : `Last answer: ${word(choice)}.`;
      return;
    }
    const predicted = said.predicted < 0 ? "no class" : about.classes[said.predicted];
    if (choice === undefined) {
      line.className = "";
      line.textContent = `Predicted: ${predicted} (${percent(said.confidence)})`;
      return;
    }
    line.className = outcome === null ? "" : outcome ? "good" : "bad";
    line.textContent = `Last answer: ${word(choice)}. Predicted: ${predicted}${outcome === null ? "" : outcome ? ", right" : ", wrong"}.`;
  }

  async function answer(choice) {
    if (view === "grid" || by("ask").hidden) return;
    const one = place(), before = at;
    const told = await backend.answer(kind, one, choice);
    answers[one] = choice;
    history.push(one);
    Object.assign(about, told);
    standing = told.standing || null;
    tell(told.about, told.right, choice);
    for (const other of told.answered || []) if (!answered(other) && kind === "measure") answers[other] = undefined;
    if (standing && firstOpen() < 0) await read();
    const next = items.findIndex((other, row) => row > before && !answered(other));
    at = next < 0 || open_() < 0 ? open_() : next;
    chosen = 0;
    draw();
  }

  async function undo() {
    const one = history.at(-1);
    if (one === undefined) return;
    Object.assign(about, await backend.answer(kind, one, ""));
    history.pop();
    delete answers[one];
    if (standing) await read();
    at = items.includes(one) ? items.indexOf(one) : open_();
    by("shown").textContent = "";
    draw();
  }

  function move(step) {
    const from = at < 0 ? items.length : at, to = from + step;
    if (to < 0 || (step > 0 && !answered(items[from]))) return;
    at = to >= items.length ? -1 : to;
    by("shown").textContent = "";
    draw();
  }

  function drawDone() {
    show("done");
    drawProgress();
    const m = about.measured, measuring = kind === "measure", v = about.verdict;
    by("finish").textContent = backend.finishing(about);
    drawNext();
    by("done").focus({ preventScroll: true });
    if (standing) {
      [by("result").textContent, by("meaning").textContent] = [standing.result, standing.meaning];
      return;
    }
    if (kind === "compare") {
      by("result").textContent = decided(about);
      by("meaning").textContent = `${score(about)}, on ${v.answers} of the ${v.differing} images on which they differ; on the others both are right or both are wrong. A decision is right with ${level(v.level)} chance, whenever one looks.`;
      return;
    }
    by("result").textContent = measuring && m ? interval(m) : measuring ? "Every image is answered." : "No image is left here.";
    by("meaning").textContent = measuring && m ? meaning(m) : measuring ? "" : "Mark wrong ones under “Find wrong ones” to continue.";
  }

  /* In a review that leads from question to question, the next one of them. */
  function drawNext() {
    const here = about.order.filter((name) => name !== "compare" || about.verdict).filter((name) => name !== "teach" || about.questions.teach);
    const next = here[here.indexOf(kind) + 1];
    by("next").hidden = !next;
    by("finish").className = next ? "" : "main";
    if (!next) return;
    by("next").dataset.view = next;
    by("next").textContent = `Next: ${document.querySelector(`nav [data-view="${next}"]`).textContent.trim()}`;
  }

  async function finish() {
    by("written").textContent = "Writing …";
    by("written").textContent = await backend.finish(Boolean(about.finishing));
  }

  /* ---- the grid ---- */
  async function openGrid() {
    show("grid");
    const select = by("class");
    if (!select.options.length) {
      const ids = Object.keys(about.counts).map(Number);
      select.replaceChildren(...ids.map((id) => make("option", `${about.classes[id]} (${about.counts[id]})`, { value: id })));
    }
    page = await backend.grid(Number(select.value));
    drawGrid();
  }

  function drawGrid() {
    wrong = new Set();
    const name = about.classes[Number(by("class").value)];
    by("tiles").replaceChildren(...page.items.map((one, row) => {
      const tile = make("button", "", { type: "button", "data-tile": one, "aria-pressed": "false", "aria-label": `Image ${row + 1}, predicted ${name}` });
      const image = make("img", "", { src: backend.image("grid", one, "small"), alt: "", loading: "lazy" });
      tile.append(image);
      return tile;
    }));
    by("left").textContent = `${page.left} not looked at`;
    drawSave();
    drawProgress();
    const first = by("tiles").querySelector("button");
    if (first) first.focus({ preventScroll: true });
  }

  function drawSave() {
    by("save").disabled = !page.items.length;
    by("save").textContent = page.items.length
      ? `Save: ${page.items.length - wrong.size} right, ${wrong.size} wrong`
      : "No image of this class is left";
  }

  function press(tile) {
    const one = Number(tile.dataset.tile);
    if (!wrong.delete(one)) wrong.add(one);
    tile.setAttribute("aria-pressed", String(wrong.has(one)));
    drawSave();
  }

  async function savePage() {
    if (!page.items.length) return;
    const told = await backend.mark(Number(by("class").value), page.items, [...wrong]);
    page = { items: told.items, left: told.left };
    Object.assign(about, told);
    drawGrid();
  }

  function moveTile(key) {
    const tiles = [...by("tiles").children], from = tiles.indexOf(document.activeElement);
    if (from < 0) return false;
    const columns = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    const to = tiles[from + (steps[key] || 0)];
    if (steps[key] && to) to.focus();
    return Boolean(steps[key]);
  }

  /* ---- events ---- */
  function typed(event) {
    if (event.ctrlKey && event.key.toLowerCase() === "z") return undo;
    if (event.ctrlKey || event.metaKey || event.altKey) return null;
    const inSearch = event.target === by("search"), empty = by("search").value === "";
    if (keys === null && inSearch) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) {
        chosen = Math.max(0, Math.min(matches.length - 1, chosen + step));
        drawChoices();
        return () => {};
      }
      if (event.key === "Enter" && matches.length) {
        const id = matches[chosen];
        return () => answer(id);
      }
      if (!empty) return null;
    }
    const commands = {
      "-": () => answer("none"), "?": () => answer("unsure"), Backspace: undo,
      ArrowLeft: () => move(-1), ArrowRight: () => move(1),
    };
    if (commands[event.key]) return commands[event.key];
    const id = keys === null ? -1 : keys.indexOf(event.key.toLowerCase());
    return id < 0 ? null : () => answer(id);
  }

  document.addEventListener("keydown", (event) => {
    if (!about || event.target.id === "name") return;
    if (view === "grid") {
      if (event.target === by("class")) return;
      if (moveTile(event.key)) event.preventDefault();
      else if (event.key === "Enter" && event.target.dataset.tile !== undefined) {
        event.preventDefault();
        queued(savePage);
      }
      return;
    }
    if (event.key === "Enter" && !by("done").hidden && event.target.tagName !== "BUTTON") {
      event.preventDefault();
      const next = by("next");
      queued(next.hidden ? finish : () => open(next.dataset.view));
      return;
    }
    const work = typed(event);
    if (work === null) return;
    event.preventDefault();
    queued(work);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button || !about) return;
    const { choice, view: wanted, tile } = button.dataset;
    const doing = { undo, back: () => move(-1), forward: () => move(1) }[button.dataset.do];
    if (choice !== undefined) queued(() => answer(/^\d+$/.test(choice) ? Number(choice) : choice));
    else if (wanted) queued(() => open(wanted));
    else if (tile !== undefined) press(button);
    else if (doing) queued(doing);
    else if (button.id === "save") queued(savePage);
    else if (button.id === "finish") queued(finish);
  });

  by("search").addEventListener("input", () => { chosen = 0; drawChoices(); });
  by("class").addEventListener("change", () => queued(openGrid));
  by("image").addEventListener("load", (event) => {
    event.target.className = Math.max(event.target.naturalWidth, event.target.naturalHeight) < 128 ? "tiny" : "";
  });
  by("image").addEventListener("error", (event) => { event.target.alt = "This image cannot be shown; answer “unsure”."; });

  queued(async () => {
    about = await backend.about();
    keys = keysOf(about.classes);
    by("typing").hidden = keys !== null;
    if (keys === null) by("choices").setAttribute("role", "listbox");
    document.querySelector('[data-view="compare"]').hidden = !about.verdict;
    const nav = document.querySelector("nav");
    for (const [name, title] of Object.entries(about.questions)) {
      nav.append(make("button", title, { type: "button", "data-view": name, "aria-pressed": "false" }));
    }
    by("who").textContent = `${about.reviewer && `Reviewer: ${about.reviewer}. `}Answers stay on this machine.`;
    await open(about.first);
  });
})();
