// The photograph that is looked at: its rows as they go in, the exits as they answer, the memory.

const shown = (() => {
  const PLAYED_MS = 5000; // a run that goes to the end
  const { steps, exit_steps: ends, shape: [channels, height, width] } = exported;
  const rowsBy = []; // of the image, after each event
  steps.reduce((rows, step, event) => (rowsBy[event] = rows + (step === null ? 1 : 0)), 0);
  const slider = byId("live-time"), button = byId("live-play");
  const list = Array.from({ length: E }, (_, k) => makeExit(k));
  let photo = null, run = null, event = -1, playing = 0;
  const small = document.createElement("canvas");
  small.width = width;
  small.height = height;

  function makeExit(k) {
    const parts = {
      said: make("span", { class: "said" }), sure: make("span", { class: "sure" }),
      fill: make("span", { class: "fill" }), state: make("span", { class: "state" }),
    };
    const swatch = make("span", { class: "number" }, `${k + 1}`);
    const item = make("li", {}, swatch, parts.said, parts.sure,
      make("span", { class: "track" }, parts.fill), parts.state,
      make("span", { class: "cost" }, macs(exported.exit_macs[k])));
    byId("live-exits").append(item);
    return { item, ...parts };
  }

  const end = () => ends[photo.left];

  // Looks at a photograph, and plays its run unless it should stand still.
  function look(next, { play = true } = {}) {
    photo = next;
    run = recordRun(photo.pixels);
    byId("live-name").textContent = photo.name;
    slider.max = steps.length;
    paint();
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (play && !calm) playFrom(-1);
    else stop(end());
  }

  // The policy has changed.
  function decideAgain() {
    if (run) stop(end());
  }

  // What a camera sees: no plan, no rows, what was not run is not known.
  function lookAtCamera(pixels, found, ms) {
    cancelAnimationFrame(playing);
    photo = { pixels, name: "the camera", ...found, ms, whole: null };
    run = null;
    byId("live-name").textContent = photo.name;
    paint();
    drawPhoto(height);
    list.forEach((one, k) => showExit(one, k, k <= found.left, true, false));
    showVerdict(true);
  }

  function playFrom(start) {
    cancelAnimationFrame(playing);
    const begin = performance.now(), speed = steps.length / PLAYED_MS;
    const frame = (now) => {
      event = Math.min(end(), Math.floor(start + speed * (now - begin)));
      draw();
      playing = event < end() ? requestAnimationFrame(frame) : 0;
      button.textContent = playing ? "Stop" : "Play";
    };
    playing = requestAnimationFrame(frame);
  }

  function stop(at) {
    cancelAnimationFrame(playing);
    playing = 0;
    event = at;
    button.textContent = "Play";
    draw();
  }

  function paint() {
    const image = small.getContext("2d").createImageData(width, height);
    for (let p = 0, q = 0; q < image.data.length; p += channels, q += 4) {
      for (let c = 0; c < 3; c++) image.data[q + c] = photo.pixels[p + (channels === 1 ? 0 : c)];
      image.data[q + 3] = 255;
    }
    small.getContext("2d").putImageData(image, 0, 0);
  }

  // The photograph as the network has it, rows that have not gone in yet faint.
  function drawPhoto(rows) {
    const canvas = byId("live-photo"), pen = canvas.getContext("2d");
    canvas.width = width;
    canvas.height = height;
    pen.globalAlpha = 0.25;
    pen.drawImage(small, 0, 0);
    pen.globalAlpha = 1;
    if (rows) pen.drawImage(small, 0, 0, width, rows, 0, 0, width, rows);
  }

  // answered: the exit, by now. done: the run. known: what exits say that were not needed.
  function showExit({ item, said, sure, fill, state }, k, answered, done, known) {
    const taken = answered && k === photo.left, skipped = done && k > photo.left;
    const there = answered || (known && skipped);
    const { index, sure: share } = there ? program.answer(photo.scores, k) : {};
    item.className = skipped ? "skipped" : taken ? "taken" : answered ? "" : "waiting";
    item.toggleAttribute("aria-current", taken);
    said.textContent = there ? classTitles[index] : skipped ? "not run" : "";
    sure.textContent = there ? percent(share, 0) : "";
    fill.style.width = there ? `${100 * share}%` : "0";
    state.textContent = taken ? "leaves here" : skipped && there ? "not needed" : "";
  }

  function showVerdict(done) {
    const verdict = byId("live-verdict");
    if (!done) return verdict.replaceChildren("\u00a0");
    const { index, sure } = program.answer(photo.scores, photo.left);
    verdict.replaceChildren(
      make("b", {}, classTitles[index]), ` (${percent(sure, 0)}), left at exit ${photo.left + 1} of ${E}: `,
      make("b", {}, `${percent(1 - exported.exit_macs[photo.left] / full)} saved`),
      photo.ms === null ? "" : `; ${photo.ms.toFixed(1)} ms here`,
      photo.whole === null || photo.left === E - 1 ? "" : `, ${photo.whole.toFixed(1)} ms to the last exit`);
  }

  function draw() {
    const done = event >= end();
    drawPhoto(event < 0 ? 0 : rowsBy[event]);
    list.forEach((one, k) => showExit(one, k, event >= ends[k] && k <= photo.left, done, done));
    showVerdict(done);
    slider.value = event + 1;
    memory.draw(event, end(), event < 0 ? null : run.at(event));
    const doing = event < 0 ? "nothing yet" : steps[event] === null ? "a row of the image" : steps[event];
    byId("live-moment").textContent =
      `${integer(event + 1)} of ${integer(steps.length)}: ${doing}; ${event < 0 ? 0 : memory.held(event)} bytes held`;
  }

  button.addEventListener("click", () => {
    if (!run) return;
    if (playing) stop(event);
    else playFrom(event >= end() ? -1 : event);
  });
  slider.addEventListener("input", () => { if (run) stop(Number(slider.value) - 1); });
  addEventListener("resize", () => { if (run) draw(); });
  document.addEventListener("theme", () => {
    memory.recolour();
    if (run) draw();
  });
  byId("live-roles").append(...memory.legend());

  return { look, decideAgain, lookAtCamera };
})();
