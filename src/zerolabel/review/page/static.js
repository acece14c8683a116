"use strict";
/* The side of the page that has everything in the file: answers are kept in this browser, and downloaded. */
const backend = (() => {
  const key = `zerolabel-review ${DATA.about.title} ${DATA.items.map((one) => DATA.names[one]).join("\n")}`;
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

  function table() {
    const rows = Object.entries(kept).map(([one, { choice, time }]) => [DATA.names[one], word(choice), DATA.about.reviewer, time, DATA.why]);
    return [DATA.columns, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
  }

  return {
    about: async () => ({ ...DATA.about, done: Object.keys(kept).length }),
    queue: async (kind) => ({
      items: kind === "measure" ? DATA.items : [],
      answers: Object.fromEntries(Object.entries(kept).map(([one, { choice }]) => [one, choice])),
      shown: {},
    }),
    answer: async (kind, one, choice) => {
      if (choice === "") delete kept[one];
      else kept[one] = { choice, time: new Date().toISOString().replace(/\.\d+Z$/, "+00:00") };
      keep();
      return { about: null, right: null, done: Object.keys(kept).length };
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
