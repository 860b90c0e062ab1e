// The memory of a run: the plan, with the moment in it, and the bytes of the arena at that moment.

// What every event of a run left in the arena; of every n-th where all would be too much.
function recordRun(pixels) {
  const MOST_BYTES = 48 * 2 ** 20;
  const events = exported.steps.length;
  const stride = Math.max(1, Math.ceil((events * exported.arena_bytes) / MOST_BYTES));
  const pictures = [];
  const found = program.run(pixels, {
    told: (event) => {
      if (event % stride === 0) pictures[event / stride] = program.arena().slice();
    },
  });
  return { ...found, at: (event) => pictures[Math.min(pictures.length - 1, Math.floor(event / stride))] };
}

const memory = (() => {
  const { spans, steps, exit_steps: ends, arena_bytes: total } = exported;
  const ROLES = { image: "the image", maps: "maps", kept: "kept between rows", exits: "exits" };
  const plan = byId("live-plan"), bytes = byId("live-bytes");
  const COLUMNS = Math.max(32, 16 * Math.ceil(total / 256 / 16));
  const LINES = Math.ceil(total / COLUMNS);
  const MARGIN = { left: 44, right: 6, top: 20, bottom: 34 };
  const small = document.createElement("canvas");
  small.width = COLUMNS;
  small.height = LINES;
  let colours = {};

  // Colours as numbers: canvases know no names of styles.
  function readColours() {
    const probe = make("i", { hidden: "" });
    document.body.append(probe);
    const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const read = (name) => {
      probe.style.color = `var(--${name})`;
      pixel.clearRect(0, 0, 1, 1);
      pixel.fillStyle = getComputedStyle(probe).color;
      pixel.fillRect(0, 0, 1, 1);
      return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const names = ["paper", "ink", "soft", "line", ...Object.keys(ROLES).map((role) => `role-${role}`)];
    colours = Object.fromEntries(names.map((name) => [name, read(name)]));
    probe.remove();
  }

  const ink = (name, strength = 1) => `rgb(${colours[name].join(" ")} / ${strength})`;

  // A canvas of the size that it is shown in, its unit one CSS pixel.
  function fit(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return { pen, width, height };
  }

  // event: the last that is over, -1 before the first. end: the last that this image needs.
  function draw(event, end, picture) {
    if (!colours.ink) readColours();
    drawPlan(event, end);
    drawBytes(event, picture);
    const [, left, top, right] = box(fitSize(plan));
    plan.setAttribute("aria-label",
      `Addresses over time: ${held(event)} of ${integer(total)} bytes are held after event ${event + 1} of ${steps.length}`);
    return { left, right, top };
  }

  const fitSize = (canvas) => ({ width: canvas.clientWidth, height: canvas.clientHeight });
  const box = ({ width, height }) => [height - MARGIN.bottom, MARGIN.left, MARGIN.top, width - MARGIN.right];

  function drawPlan(event, end) {
    const { pen, width, height } = fit(plan);
    const [bottom, left, top, right] = box({ width, height });
    const x = (step) => left + ((right - left) * step) / steps.length;
    const y = (address) => bottom - ((bottom - top) * address) / total;
    pen.font = "11px system-ui, sans-serif";
    drawAxes(pen, left, right, bottom, y);
    for (const [, role, first, last, offset, size] of spans) {
      const now = first <= event && event <= last;
      pen.fillStyle = ink(`role-${role}`, now ? 1 : last < event ? 0.4 : first > end ? 0.07 : 0.16);
      const wide = x(last + 1) - x(first), high = y(offset) - y(offset + size);
      pen.fillRect(x(first), y(offset + size), Math.max(0.5, wide - 0.3), Math.max(0.5, high - 0.3));
    }
    drawNames(pen, x, y);
    pen.textAlign = "center";
    let before = -Infinity;
    ends.forEach((step, k) => {
      pen.fillStyle = ink("role-exits", step <= event ? 1 : 0.4);
      pen.fillRect(x(step + 1) - 0.5, top - 4, 1, bottom - top + 4);
      if (x(step + 1) - before < 11) return;
      before = x(step + 1);
      pen.fillText(`${k + 1}`, before, top - 8);
    });
    pen.fillStyle = ink("ink");
    pen.fillRect(x(event + 1) - 1, top - 4, 2, bottom - top + 8);
  }

  function drawAxes(pen, left, right, bottom, y) {
    const unit = total >= 4096 ? 1024 : 1;
    const step = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].find((size) => total / unit / size <= 6) ?? 4096;
    pen.textAlign = "right";
    for (let tick = 0; tick * unit <= total; tick += step) {
      pen.fillStyle = ink("line");
      pen.fillRect(left, y(tick * unit), right - left, 1);
      pen.fillStyle = ink("soft");
      pen.fillText(`${tick}`, left - 6, y(tick * unit) + 4);
    }
    pen.save();
    pen.translate(12, bottom / 2 + 10);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText(unit === 1024 ? "address, KiB" : "address, bytes", 0, 0);
    pen.restore();
    const texts = ["rows made or taken in, in order; numbers are exits", "rows, in order; numbers: exits"];
    const text = texts.find((one) => pen.measureText(one).width < right - left) ?? "rows, in order";
    pen.fillText(text, right, bottom + 24);
  }

  // Into the longest box of a name, where it has room.
  const largest = new Map();
  for (const span of spans) {
    const known = largest.get(span[0]);
    if (!known || span[3] - span[2] > known[3] - known[2]) largest.set(span[0], span);
  }

  function drawNames(pen, x, y) {
    pen.textAlign = "center";
    pen.fillStyle = ink("ink");
    for (const [name, , first, last, offset, size] of largest.values()) {
      const wide = x(last + 1) - x(first), high = y(offset) - y(offset + size);
      if (high > 13 && pen.measureText(name).width + 8 < wide)
        pen.fillText(name, (x(first) + x(last + 1)) / 2, y(offset + size / 2) + 4);
    }
  }

  // A point for each byte, address upwards as in the plan, in the colour of who holds it.
  function drawBytes(event, picture) {
    const { pen, width, height } = fit(bytes);
    const roles = holders(event);
    const names = Object.keys(ROLES);
    const context = small.getContext("2d");
    const image = context.createImageData(COLUMNS, LINES);
    for (let address = 0; address < total; address++) {
      const line = LINES - 1 - Math.floor(address / COLUMNS), at = 4 * (line * COLUMNS + (address % COLUMNS));
      const role = roles[address];
      const [r, g, b] = role ? colours[`role-${names[role - 1]}`] : colours.line;
      const strength = role ? 70 + (picture ? (185 * ((picture[address] + 128) & 255)) / 255 : 0) : 90;
      image.data.set([r, g, b, strength], at);
    }
    context.putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, 0, MARGIN.top, width, height - MARGIN.top - MARGIN.bottom);
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = ink("soft");
    pen.textAlign = "center";
    pen.fillText("the bytes now", width / 2, height - MARGIN.bottom + 24);
  }

  // For each address the number of the role, from 1, of who holds it; 0 for nobody.
  function holders(event) {
    const names = Object.keys(ROLES);
    const found = new Uint8Array(total);
    for (const [, role, first, last, offset, size] of spans)
      if (first <= event && event <= last) found.fill(names.indexOf(role) + 1, offset, offset + size);
    return found;
  }

  const held = (event) => integer(holders(event).reduce((sum, role) => sum + (role ? 1 : 0), 0));

  function legend() {
    return Object.entries(ROLES).map(([role, title]) => {
      const swatch = make("i", { class: "swatch" });
      swatch.style.background = `var(--role-${role})`;
      return make("span", {}, swatch, title);
    });
  }

  return { draw, held, legend, recolour: () => { colours = {}; } };
})();
