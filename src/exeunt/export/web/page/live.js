// Photographs in, answers out: files, folders, the camera; all that were given, and their sums.

const live = (() => {
  const KEPT = 240; // photographs whose pixels and cards stay
  const FIRST_CARDS = 24;
  const WARM_UP = 16;
  const photos = []; // name, folder, truth, pixels or null, scores, left, ms
  let policy = null, current = null, stream = null, allCards = false, working = Promise.resolve();

  const say = (text) => { byId("live-note").textContent = text; };
  const breathe = () => new Promise((done) => setTimeout(done, 0));
  const fold = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
  const folded = [exported.classes, classTitles].map((names) => names.map(fold));

  // Takes what was chosen or dropped, one after the other; a second lot waits for the first.
  function take(chosen) {
    working = working.then(() => takeAll(chosen)).catch((error) => say(`That did not work: ${error.message}`));
    return working;
  }

  async function takeAll(chosen) {
    stopCamera();
    const refused = [];
    let last = performance.now();
    for (const [index, { file, folder }] of chosen.entries()) {
      try {
        await add(await photographs.pixelsOf(file, exported.transform), file.name, folder);
      } catch {
        refused.push(file.name);
      }
      if (performance.now() - last < 100) continue;
      say(`${integer(index + 1)} of ${integer(chosen.length)} …`);
      showAll();
      await breathe();
      last = performance.now();
    }
    say(refused.length
      ? `This browser cannot read ${refused.slice(0, 3).join(", ")}${refused.length > 3 ? ` and ${refused.length - 3} more` : ""}.`
      : chosen.length ? "" : "There was no image among these.");
    showAll();
  }

  // Classifies what the network takes: height x width x channels bytes.
  function add(pixels, name, folder = "") {
    const begin = performance.now();
    program.run(pixels, { all: false });
    const ms = performance.now() - begin;
    const { left, scores } = program.run(pixels);
    const photo = { name, folder, truth: truthOf(folder), pixels, scores, left, batch: ms, ms: null, whole: null };
    if (photos.length >= KEPT) photo.pixels = null;
    photos.push(photo);
    if (photo.pixels && photos.length <= FIRST_CARDS) byId("live-cards").append(makeCard(photo));
    if (current === null || current.noise) select(photo);
    return photo;
  }

  // The class that a folder is named after, or null.
  function truthOf(folder) {
    const found = folded.map((names) => names.indexOf(fold(folder))).filter((index) => index >= 0);
    return found.length ? found[0] : null;
  }

  function select(photo, options) {
    current = photo;
    time(photo);
    shown.look(photo, options);
  }

  function time(photo) {
    photo.ms = program.time(photo.pixels, false);
    photo.whole = program.time(photo.pixels, true);
  }

  function policyChanged() {
    for (const photo of photos) photo.left = program.decide(photo.scores);
    if (current && !current.camera) {
      if (current.noise) current.left = program.decide(current.scores);
      time(current);
      shown.decideAgain();
    }
    showAll();
  }

  function makeCard(photo) {
    const [channels, height, width] = exported.shape;
    const canvas = make("canvas", { width, height });
    const image = canvas.getContext("2d").createImageData(width, height);
    for (let p = 0, q = 0; q < image.data.length; p += channels, q += 4) {
      for (let c = 0; c < 3; c++) image.data[q + c] = photo.pixels[p + (channels === 1 ? 0 : c)];
      image.data[q + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    const button = make("button", { type: "button", class: "picture", title: photo.name, "aria-label": `Look at ${photo.name}` }, canvas);
    button.addEventListener("click", () => {
      stopCamera();
      select(photo);
      byId("live-scene").scrollIntoView({ block: "nearest", behavior: "smooth" });
    });
    photo.answers = Array.from({ length: E }, (_, k) => {
      const { index, sure } = program.answer(photo.scores, k);
      return make("li", {}, make("span", { class: "said" }, classTitles[index]), make("span", {}, percent(sure, 0)));
    });
    photo.verdict = make("p", { class: "verdict" });
    photo.card = make("article", { class: "card" }, button, make("ol", {}, ...photo.answers), photo.verdict);
    return photo.card;
  }

  function updateCard(photo) {
    const right = isRight(photo);
    photo.answers.forEach((item, k) => {
      item.className = k === photo.left ? "taken" : k > photo.left ? "skipped" : "";
    });
    photo.card.classList.toggle("right", right === true);
    photo.card.classList.toggle("wrong", right === false);
    const { index } = program.answer(photo.scores, photo.left);
    photo.verdict.replaceChildren(
      ...(right === null ? [] : [right ? "✓ " : "✗ "]),
      make("b", {}, classTitles[right === false ? photo.truth : index]),
      right === false ? ` taken for ${classTitles[index]}` : "", `, exit ${photo.left + 1}`);
  }

  const isRight = (photo) =>
    photo.truth === null ? null : program.answer(photo.scores, photo.left).index === photo.truth;

  function showAll() {
    byId("live-all").hidden = photos.length === 0;
    if (!photos.length) return;
    const kept = photos.filter((photo) => photo.pixels);
    const few = allCards ? kept : kept.slice(0, FIRST_CARDS);
    for (const photo of few) if (!photo.card) byId("live-cards").append(makeCard(photo));
    kept.filter((photo) => photo.card).forEach((photo) => {
      photo.card.hidden = !few.includes(photo);
      updateCard(photo);
    });
    byId("live-more").hidden = allCards || kept.length <= FIRST_CARDS;
    byId("live-more").textContent = `Show all ${integer(kept.length)}`;
    const counts = new Array(E).fill(0);
    for (const photo of photos) counts[photo.left]++;
    const spent = counts.reduce((sum, count, k) => sum + count * exported.exit_macs[k], 0) / photos.length;
    const mean = photos.reduce((sum, photo) => sum + photo.batch, 0) / photos.length;
    const known = photos.filter((photo) => photo.truth !== null);
    const facts = [
      fact("Saved", percent(1 - spent / full), `${macs(spent)} multiply-adds on average, and not ${macs(full)}`),
      fact("Here", `${mean.toFixed(1)} ms`, "on average, as each was first classified"),
    ];
    if (known.length) {
      const right = known.filter(isRight).length;
      facts.unshift(fact("Right", percent(right / known.length), `${integer(right)} of ${integer(known.length)} in folders named after their class`));
    }
    byId("live-count").textContent = plural(photos.length, "photograph");
    byId("live-figures").replaceChildren(...facts);
    byId("live-depth").replaceChildren(depthBar(counts, photos.length));
    byId("live-shares").textContent = counts.map((count, k) => `exit ${k + 1}: ${integer(count)}`).join(", ");
  }

  function clear() {
    photos.length = 0;
    current = null;
    allCards = false;
    byId("live-cards").replaceChildren();
    showAll();
    noise();
  }

  async function startCamera() {
    if (!navigator.mediaDevices?.getUserMedia) return say("Browsers give the camera to pages from https or from a file only.");
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
    } catch (error) {
      return say(`The camera is not to be had: ${error.message}`);
    }
    const video = make("video", { playsinline: "", muted: "" });
    video.muted = true;
    video.srcObject = stream;
    await video.play();
    byId("live-camera").textContent = "Stop the camera";
    byId("live-keep").hidden = false;
    byId("live-memory").hidden = true;
    say("");
    const mine = stream;
    while (stream === mine) {
      const pixels = await photographs.pixelsOf(video, exported.transform);
      if (stream !== mine) break;
      const begin = performance.now();
      const found = program.run(pixels, { all: false });
      const ms = performance.now() - begin;
      current = { pixels, camera: true };
      shown.lookAtCamera(pixels, found, ms);
      await new Promise((done) => requestAnimationFrame(done));
    }
  }

  function stopCamera() {
    if (!stream) return;
    for (const track of stream.getTracks()) track.stop();
    stream = null;
    current = null;
    byId("live-camera").textContent = "Use the camera";
    byId("live-keep").hidden = true;
    byId("live-memory").hidden = false;
  }

  // Before there is a photograph: what the self-test makes up.
  function noise() {
    const { passed, image } = program.selfTest();
    const scores = E * exported.classes.length;
    say(passed
      ? `Self-test: all ${scores} scores of a made-up image are those that Python found${exported.dtype === "int8" ? "" : ", within a ten-thousandth"}.`
      : "Self-test FAILED: this browser's numbers are not those that Python found.");
    const { left, scores: found } = program.run(image);
    select({ name: "no photograph yet: noise, the self-test's image", pixels: image, scores: found, left, noise: true }, { play: false });
    return passed;
  }

  function listen() {
    const files = byId("live-files"), folder = byId("live-files-folder"), intake = byId("live-intake");
    byId("live-choose").addEventListener("click", () => files.click());
    byId("live-folder").addEventListener("click", () => folder.click());
    byId("live-folder").hidden = !("webkitdirectory" in folder);
    byId("live-camera").addEventListener("click", () => (stream ? backFromCamera() : startCamera()));
    byId("live-keep").addEventListener("click", () => {
      const { pixels } = current;
      stopCamera();
      add(pixels, `camera ${photos.length + 1}`);
      showAll();
    });
    byId("live-clear").addEventListener("click", clear);
    byId("live-more").addEventListener("click", () => {
      allCards = true;
      showAll();
    });
    for (const input of [files, folder])
      input.addEventListener("change", async () => {
        await take(photographs.fromList(input.files));
        input.value = "";
      });
    for (const kind of ["dragenter", "dragover"])
      document.addEventListener(kind, (event) => {
        event.preventDefault();
        intake.classList.add("over");
      });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) intake.classList.remove("over"); });
    document.addEventListener("drop", async (event) => {
      event.preventDefault();
      intake.classList.remove("over");
      take(await photographs.dropped(event.dataTransfer));
    });
    document.addEventListener("paste", (event) => {
      const chosen = photographs.fromList(event.clipboardData.files);
      if (chosen.length) take(chosen);
    });
  }

  function backFromCamera() {
    stopCamera();
    const kept = photos.filter((photo) => photo.pixels);
    if (kept.length) select(kept[kept.length - 1], { play: false });
    else noise();
  }

  function introduce() {
    const [, height, width] = exported.shape;
    byId("live-about").textContent =
      `${E} exits, ${exported.classes.length} classes, ${height} × ${width} pixels, ${exported.dtype}. What runs here is the C that goes onto microcontrollers, ` +
      `compiled to WebAssembly: ${(exported.constants_bytes / 1e6).toFixed(2)} MB of constants, ${integer(exported.arena_bytes)} bytes of memory for an image. ` +
      "Photographs stay on this machine; this page makes no request.";
    byId("live-classes").textContent = classTitles.join(", ");
    const { interpolation, crop_fraction: share, mode } = exported.transform;
    byId("live-prepared").textContent =
      `The centre is cut out${share < 1 ? ` (${percent(share, 1)} of the shorter side)` : ""} and resized to ${height} × ${width} pixels` +
      `${mode === "L" ? " of grey" : ""}, ${interpolation}, with the arithmetic of Python's Pillow: of the same pixels the same bytes. ` +
      "Decoding is this browser's. What is lossless gives the pixels that Python has; of a JPEG, decoders may differ by a level here and there, " +
      "and colour profiles are ignored, as Python ignores them, where the browser allows it.";
  }

  async function start() {
    introduce();
    try {
      await program.start();
    } catch (error) {
      say(`This browser cannot run the network: it needs WebAssembly with vectors (${error.message}).`);
      return false;
    }
    policy = makePolicy(policyChanged);
    listen();
    for (let run = 0; run < WARM_UP; run++) {
      program.selfTest(); // browsers compile what runs often once more, faster
      if (run % 4 === 3) await breathe();
    }
    return noise();
  }

  return { ready: start(), photos, add, take, select, clear, policy: () => policy };
})();
