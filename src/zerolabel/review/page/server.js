"use strict";
/* The side of the page that talks to the server it came from. */
const backend = (() => {
  async function read(path, sent) {
    const options = sent === undefined
      ? {}
      : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(sent) };
    let answer;
    try {
      answer = await fetch(path, options);
    } catch {
      throw new Error("the server does not answer. Start zerolabel review again and open its new address; what was saved is there");
    }
    if (!answer.ok) {
      const told = answer.status === 507 ? (await answer.json()).error : "the server refused it; open the address that zerolabel review printed";
      throw new Error(told);
    }
    return answer.json();
  }
  /* The next review comes to the same address once the server is there again. */
  async function next() {
    try {
      if ((await fetch("./", { cache: "no-store" })).ok) return location.reload();
    } catch {
      /* not there yet */
    }
    return setTimeout(next, 2000);
  }
  return {
    about: () => read("about"),
    queue: (kind) => read(`queue/${kind}`),
    answer: (kind, place, choice) => read("answer", { kind, place, choice }),
    grid: (classId) => read(`grid/${classId}`),
    mark: (classId, items, wrong) => read(`grid/${classId}`, { items, wrong }),
    finish: async (waits) => {
      const { written } = await read("finish", {});
      if (waits) setTimeout(next, 2000);
      return written;
    },
    image: (kind, place, size) => `image/${kind}/${place}/${size}`,
    finishing: (about) => about.finishing || (about.report ? "Write the report" : "Finish"),
  };
})();
