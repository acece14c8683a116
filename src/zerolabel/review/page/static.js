"use strict";
/* The side of the page that has everything in the file: answers are kept in this browser, and downloaded. */
const backend = (() => {
  const key = `zerolabel-review ${DATA.about.title} ${DATA.items.map((one) => DATA.names[one]).join("\n")}`;
  const measured = audit(DATA.design);
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(key)) || {};
  } catch {
    kept = {};
  }
  const word = (choice) => DATA.words[choice] || DATA.about.classes[choice];

  function keep() {
    try {
      localStorage.setItem(key, JSON.stringify(kept));
    } catch {
      return; // a browser that keeps nothing: the download still has every answer
    }
  }

  /* A cell as spreadsheets read it, and none of them runs it. */
  function cell(value) {
    const guarded = /^'*[=+\-@\t\r\n＝＋－＠]/.test(value) && !/^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
  }

  /* Who answers, where the file does not know it. */
  const name = document.createElement("input");
  const reviewer = () => DATA.about.reviewer || name.value.trim() || "unnamed";
  if (!DATA.about.reviewer) {
    name.id = "name";
    name.autocomplete = "name";
    const label = document.createElement("label");
    label.append("Your name, for the answers: ", name);
    document.querySelector("footer").append(label);
  }

  function table() {
    const rows = Object.entries(kept).map(([one, { choice, time }]) => [DATA.names[one], word(choice), reviewer(), time, DATA.why]);
    return [DATA.columns, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
  }

  /* What an answer says of the prediction. */
  const outcome = (one, choice) => typeof choice === "string" ? choice : choice === DATA.predicted[one][0] ? "right" : "wrong";

  /* Number of answers and the interval, from the answers up to the first image of the order that has none. */
  function progress() {
    const outcomes = [];
    for (const one of DATA.design.order) {
      const found = DATA.design.known[one] || (kept[one] && outcome(one, kept[one].choice));
      if (!found) break;
      outcomes.push(found);
    }
    return { done: Object.keys(kept).length, measured: measured(outcomes) };
  }

  return {
    about: async () => ({ ...DATA.about, ...progress() }),
    queue: async (kind) => ({
      items: kind === "measure" ? DATA.items : [],
      answers: Object.fromEntries(Object.entries(kept).map(([one, { choice }]) => [one, choice])),
      shown: {},
    }),
    answer: async (kind, one, choice) => {
      if (choice === "") delete kept[one];
      else kept[one] = { choice, time: new Date().toISOString().replace(/\.\d+Z$/, "+00:00") };
      keep();
      if (choice === "") return progress();
      const [predicted, confidence] = DATA.predicted[one], found = outcome(one, choice);
      return { about: { predicted, confidence }, right: found === "unsure" ? null : found === "right", ...progress() };
    },
    grid: async () => ({ items: [], left: 0 }),
    mark: async () => ({ items: [], left: 0 }),
    finish: async () => {
      const link = document.createElement("a");
      link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(table())}`;
      link.download = "answers.csv";
      link.click();
      return "Downloaded answers.csv; zerolabel review takes it in with --import.";
    },
    image: (kind, one) => DATA.images[one],
    finishing: () => "Download the answers",
  };
})();
document.querySelector("nav").hidden = true;
