"use strict";
/* The interval of zerolabel.audit, for a page without a server: stratified sample without replacement, exact tails. */
const audit = (design) => {
  const logs = [0];
  const sum = (values) => values.reduce((total, one) => total + one, 0);

  function logFactorial(n) {
    while (logs.length <= n) logs.push(logs.at(-1) + Math.log(logs.length));
    return logs[n];
  }

  const logWays = (of, some) => logFactorial(of) - logFactorial(some) - logFactorial(of - some);

  /* Chance of so many marked images among those drawn, for 0, 1, ... of them. */
  function probabilities(marked, size, drawn) {
    const all = logWays(size, drawn), chances = new Array(drawn + 1).fill(0);
    for (let k = Math.max(0, drawn - size + marked); k <= Math.min(drawn, marked); k += 1) {
      chances[k] = Math.exp(logWays(marked, k) + logWays(size - marked, drawn - k) - all);
    }
    return chances;
  }

  /* The smallest number from low on that a test does not exclude; high if it excludes all below. */
  function smallest(low, high, kept) {
    let [first, last] = [low, high];
    while (first < last) {
      const middle = Math.floor((first + last) / 2);
      if (kept(middle)) last = middle;
      else first = middle + 1;
    }
    return first;
  }

  /* Marked images by stratum, `total` in all: the likeliest spread, drawn toward the same share in all strata. */
  function likelySpread(total, sizes, drawn, found) {
    const share = total / sum(sizes), high = sizes.map((size, h) => size - drawn[h] + found[h]);
    const a = found.map((k) => k + design.caution * share);
    const b = found.map((k, h) => drawn[h] - k + design.caution * (1 - share));
    let bottom = -1, top = 1, exact = found;
    for (let step = 0; step < 30; step += 1) {
      const x = (bottom + top) / 2;
      exact = sizes.map((size, h) => {
        const slope = (x / (1 - Math.abs(x))) * size, middle = a[h] + b[h] + slope;
        const root = Math.sqrt(Math.max(middle ** 2 - 4 * slope * a[h], 0));
        return Math.min(Math.max((size * 2 * a[h]) / (middle + root), found[h]), high[h]);
      });
      [bottom, top] = sum(exact) > total ? [x, top] : [bottom, x];
    }
    const whole = exact.map((one) => Math.floor(one + 1e-9));
    const order = whole.map((_, h) => h).sort((i, j) => exact[j] - whole[j] - exact[i] + whole[i] || i - j);
    for (const h of order) if (sum(whole) < total && whole[h] < high[h]) whole[h] += 1;
    return whole;
  }

  /* Chance of an estimate at least as large as the one found, on a grid that rounds up. */
  function tail(marked, sizes, drawn, found) {
    const width = sum(sizes) / design.grid;
    let chances = new Float64Array(1).fill(1);
    for (const [h, size] of sizes.entries()) {
      const own = probabilities(marked[h], size, drawn[h]);
      const places = own.map((_, k) => Math.ceil((size * k) / drawn[h] / width - 1e-9));
      const next = new Float64Array(chances.length + places.at(-1));
      for (const [k, chance] of own.entries()) {
        if (chance > 0) for (let i = 0; i < chances.length; i += 1) next[i + places[k]] += chances[i] * chance;
      }
      chances = next;
    }
    const least = Math.floor(sum(sizes.map((size, h) => (size * found[h]) / drawn[h])) / width + 1e-9);
    return sum(Array.from(chances.subarray(least)));
  }

  /* Smallest number of marked images that so many found ones do not exclude. */
  function leastNumber(sizes, drawn, found, alpha) {
    if (sizes.length === 1) {
      const [size, n, k] = [sizes[0], drawn[0], found[0]];
      return smallest(k, size - n + k, (marked) => sum(probabilities(marked, size, n).slice(k)) > alpha / 2);
    }
    const most = Math.floor(sum(sizes.map((size, h) => (size * found[h]) / drawn[h])));
    const limit = ((1 - design.margin) * alpha) / 2;
    return smallest(sum(found), Math.max(sum(found), most), (total) =>
      tail(likelySpread(total, sizes, drawn, found), sizes, drawn, found) > limit);
  }

  function counted(strata, right) {
    const drawn = new Array(design.sizes.length).fill(0), correct = [...drawn];
    strata.forEach((stratum, i) => { drawn[stratum] += 1; correct[stratum] += Number(right[i]); });
    return [drawn, correct];
  }

  function interval(strata, right, alpha) {
    const [drawn, correct] = counted(strata, right), seen = (column) => column.filter((_, h) => drawn[h] > 0);
    const [sizes, n, k] = [design.sizes, drawn, correct].map(seen);
    const total = sum(design.sizes), unseen = total - sum(sizes);
    const low = leastNumber(sizes, n, k, alpha), wrong = n.map((one, h) => one - k[h]);
    return [low / total, (sum(sizes) - leastNumber(sizes, n, wrong, alpha) + unseen) / total];
  }

  /* The interval that holds at every look: those of the planned evaluations so far, cut with each other. */
  function anytime(strata, right, alpha) {
    let [low, high] = [0, 1];
    for (const n of design.evaluations.filter((planned) => planned <= strata.length)) {
      const one = interval(strata.slice(0, n), right.slice(0, n), alpha / design.evaluations.length);
      [low, high] = [Math.max(low, one[0]), Math.min(high, one[1])];
    }
    return [low, Math.max(low, high)];
  }

  function estimate(strata, right) {
    const [drawn, correct] = counted(strata, right), seen = design.sizes.map((size, h) => (drawn[h] ? size : 0));
    return sum(seen.map((size, h) => (size * correct[h]) / Math.max(drawn[h], 1))) / sum(seen);
  }

  /* What the answers say so far. outcomes: "right", "wrong", "none" or "unsure", in the order of the images. */
  return (outcomes) => {
    if (!outcomes.length) return null;
    const strata = design.strata.slice(0, outcomes.length), alpha = 1 - design.level, sure = [];
    outcomes.forEach((one, i) => { if (one !== "unsure") sure.push(i); });
    const right = outcomes.map((one) => one === "right"), possible = outcomes.map((one) => one === "right" || one === "unsure");
    const fixed = outcomes.length === design.planned, ends = fixed ? interval : anytime;
    const number = (word) => outcomes.filter((one) => one === word).length;
    return {
      accuracy: sure.length ? estimate(sure.map((i) => strata[i]), sure.map((i) => right[i])) : null,
      low: ends(strata, right, alpha)[0], high: ends(strata, possible, alpha)[1], level: design.level,
      n_answers: outcomes.length, n_unsure: number("unsure"), n_none: number("none"),
      n_images: design.n_images, images: design.images, design: fixed ? design.fixed : design.looked,
    };
  };
};
