// The network: C, compiled to WebAssembly, and what the page calls of it.

const exported = JSON.parse(byId("live-data").textContent);

// Names of classes for people: without WordNet's numbers, which ImageNet's names begin with.
const classTitles = exported.classes.map((name) => name.replace(/^n\d{8}[_-]/, "").replaceAll("_", " "));

const program = (() => {
  const classes = exported.classes.length;
  const integers = exported.dtype === "int8";
  const [Scores, Levels] = integers ? [Int16Array, Uint32Array] : [Float32Array, Float32Array];
  const ASKED = { confidence: 1, margin: 2, perplexity: 4 };
  let calls = null;
  let watch = () => {};

  async function start() {
    const text = byId("live-program").textContent;
    const bytes = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
    const page = { watch: (event) => watch(event) };
    const { instance } = await WebAssembly.instantiate(bytes, { page });
    calls = instance.exports;
    calls.start();
  }

  const view = (Kind, place, count) => new Kind(calls.memory.buffer, place, count);
  const scoresThere = () => view(Scores, calls.scores_place(), E * classes);
  const arena = () => view(Uint8Array, calls.arena_place(), exported.arena_bytes);

  function checked(status) {
    if (status < 0) throw new Error(`the network returned ${status}`);
    return status;
  }

  // 0 if the scores of a made-up image are those that Python found; the image.
  function selfTest() {
    const status = calls.self_test();
    return { passed: status === 0, image: imageThere().slice() };
  }

  function imageThere() {
    const [channels, height, width] = exported.shape;
    return view(Uint8Array, calls.image_place(), channels * height * width);
  }

  // From now on images leave by this policy.
  function follow(setting) {
    let asked = 0;
    for (const name of ["confidence", "margin", "perplexity", "softness"]) {
      if (!setting[name]) continue;
      asked |= ASKED[name] ?? 0;
      view(Levels, calls[`${name}_place`](), E).set(setting[name].map((level) => level ?? Infinity));
    }
    calls.set_policy(setting.patience, asked);
  }

  // Runs an image to the exit that the policy takes, or past it to the last; `told` hears of every
  // event that is over. Gives the exit and all scores, exit after exit.
  function run(pixels, { all = true, told = null } = {}) {
    imageThere().set(pixels);
    watch = told ?? (() => {});
    const left = checked(calls.run(all ? 1 : 0, told ? 1 : 0));
    return { left, scores: scoresThere().slice() };
  }

  // The exit that the policy takes, from scores that were found before.
  function decide(scores) {
    scoresThere().set(scores);
    return checked(calls.decide());
  }

  // Milliseconds of one run: the least of some means, each over as many runs as fit into some time,
  // since clocks of browsers are coarse and other work comes between.
  function time(pixels, all, { rounds = 3, patience = 15 } = {}) {
    imageThere().set(pixels);
    let least = Infinity;
    for (let round = 0; round < rounds; round++) {
      const begin = performance.now();
      let runs = 0, spent = 0;
      for (; spent < patience; runs++) {
        checked(calls.run(all ? 1 : 0, 0));
        spent = performance.now() - begin;
      }
      least = Math.min(least, spent / runs);
    }
    return least;
  }

  // The class with the largest score, the first of several, and its probability.
  function answer(scores, k) {
    const mine = Array.from(scores.subarray(k * classes, (k + 1) * classes));
    const most = Math.max(...mine);
    const scale = exported.score_scales[k];
    const total = mine.reduce((sum, score) => sum + Math.exp((score - most) * scale), 0);
    return { index: mine.indexOf(most), sure: 1 / total };
  }

  return { start, selfTest, follow, run, decide, time, answer, arena };
})();
