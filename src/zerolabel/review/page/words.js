"use strict";
/* What the page says and what it finds by typed letters; nothing here touches the page. */
const words = (() => {
  const MOST_BUTTONS = 26, MOST_MATCHES = 12;
  const percent = (share) => `${(100 * share).toFixed(1)}%`;
  const level = (share) => percent(share).replace(".0", "");
  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  /* A key for every class: its own letter or digit, its number, a letter; null where there are too many. */
  function keysOf(names) {
    if (names.length > MOST_BUTTONS) return null;
    const own = names.map((name) => name.toLowerCase());
    if (own.every((name) => /^[a-z0-9]$/.test(name)) && new Set(own).size === own.length) return own;
    if (names.length <= 10) return names.map((_, place) => String((place + 1) % 10));
    return names.map((_, place) => String.fromCharCode(97 + place));
  }

  /* Classes that begin with the letters, then those a word of which does, that hold them, that hold every typed word; without letters the hinted ones. */
  function search(classes, text, hinted) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return [...new Set(hinted)].slice(0, MOST_MATCHES);
    const starts = [], within = [], holds = [], scattered = [], typed = wanted.split(/\s+/);
    for (let id = 0; id < classes.length; id += 1) {
      const name = classes[id].toLowerCase();
      if (name === wanted) starts.unshift(id);
      else if (name.startsWith(wanted)) starts.push(id);
      else if (/[\s_/-]/.test(name[name.indexOf(wanted) - 1] || "x")) within.push(id);
      else if (name.includes(wanted)) holds.push(id);
      else if (typed.every((one) => name.includes(one))) scattered.push(id);
    }
    return [...starts, ...within, ...holds, ...scattered].slice(0, MOST_MATCHES);
  }

  function interval(m) {
    const share = m.accuracy === null ? "" : `${percent(m.accuracy)} right, `;
    if (m.low === 0 && m.high === 1) return `${share}an interval needs more answers`;
    return `${share}${level(m.level)} interval ${(100 * m.low).toFixed(1)} to ${percent(m.high)}`;
  }

  /* How the images of an interval were drawn. */
  function meaning(m) {
    const beside = [];
    if (m.n_unsure) beside.push(`${m.n_unsure} were left unsure and count both ways`);
    if (m.n_none) beside.push(`${m.n_none} are of none of the classes`);
    return `${m.n_answers} of ${m.n_images} ${m.images} were drawn at random${beside.length ? `; ${beside.join("; ")}` : ""}. ${capital(m.design)}.`;
  }

  const score = ({ pair, verdict }) => `${pair[0]} right ${verdict.first}, ${pair[1]} right ${verdict.second}`;

  /* Which of two is better, as far as the answers tell. */
  function decided({ pair, verdict }) {
    const name = { first: pair[0], second: pair[1] }[verdict.better];
    if (name) return `${capital(name)} is better`;
    return verdict.better ? "Both are right equally often" : "Not decided";
  }

  return { percent, level, keysOf, search, interval, meaning, score, decided };
})();
