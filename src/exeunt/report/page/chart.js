// Score against mean cost: a curve for each family of policies, and each exit by itself.

// Ticks at round numbers that lie in [low, high], about `count` of them.
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

function padded(values, share) {
  const finite = values.filter(isNumber);
  const low = Math.min(...finite), high = Math.max(...finite);
  const pad = (high - low || Math.abs(high) || 1) * share;
  return [low - pad, high + pad];
}

// curves: [{ title, colour, family: index or null, points: [{ macs, score, shown, place }] }]
// choose(family, place): called when a point of a family is picked.
function makeChart(container, announce, curves, choose) {
  const all = curves.flatMap((curve) => curve.points);
  const spanX = padded(all.map((point) => point.macs), 0.05);
  const spanY = padded(all.map((point) => point.score), 0.06);
  const tip = make("div", { class: "tip", hidden: "" });
  let state = { family: 0, place: 0 };
  let focus = null; // [curve, point] under the pointer or the keys
  let x, y;

  container.tabIndex = 0;
  container.setAttribute("role", "group");
  container.setAttribute("aria-roledescription", "chart");
  container.setAttribute(
    "aria-label",
    `${SCORE_TITLE} against mean cost for ${curves.map((curve) => curve.title).join(", ")}. ` +
      "Left and right go along a curve, up and down to another, Enter chooses the policy.",
  );

  function render() {
    const width = Math.max(280, container.clientWidth);
    const height = Math.round(Math.min(440, Math.max(280, width * 0.6)));
    const [left, right, top, bottom] = [52, 14, 14, 44];
    const scale = ([low, high], from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);
    x = scale(spanX, left, width - right);
    y = scale(spanY, height - bottom, top);

    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
    const axes = draw("g", { class: "axes" });
    for (const value of ticks(...spanY, 5))
      axes.append(
        draw("line", { x1: left, x2: width - right, y1: y(value), y2: y(value) }),
        draw("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" },
          classifies ? `${Number((100 * value).toFixed(1))} %` : fourDigits(value)),
      );
    for (const value of ticks(...spanX, width < 480 ? 4 : 7))
      axes.append(
        draw("line", { x1: x(value), x2: x(value), y1: height - bottom, y2: height - bottom + 5 }),
        draw("text", { x: x(value), y: height - bottom + 19, "text-anchor": "middle" },
          fourDigits(value / UNIT)),
      );
    axes.append(
      draw("line", { class: "base", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
      draw("text", { class: "name", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" },
        `mean cost per image, ${UNIT_NAME} multiply-adds`),
    );
    svg.append(axes);
    for (const curve of [...curves].sort((a, b) => rank(a) - rank(b))) svg.append(drawCurve(curve));
    for (const curve of curves.filter((curve) => curve.family === null)) svg.append(drawExits(curve));
    svg.append(drawMarks());
    container.replaceChildren(svg, tip);
    showFocus();
  }

  // The chosen curve lies on top, the exits by themselves lie below.
  const rank = (curve) => (curve.family === null ? 0 : curve.family === state.family ? 2 : 1);
  const at = (point) => [x(point.macs).toFixed(1), y(point.score).toFixed(1)];
  const drawable = (point) => isNumber(point.macs) && isNumber(point.score);

  function drawCurve(curve) {
    const kind = ["alone", "curve", "curve chosen"][rank(curve)];
    const group = draw("g", { class: kind });
    group.style.setProperty("--colour", curve.colour);
    const shown = curve.points.filter(drawable);
    group.append(draw("polyline", { points: shown.map((point) => at(point).join()).join(" ") }));
    if (curve.family !== null && shown.length <= 12)
      for (const [cx, cy] of shown.map(at)) group.append(draw("circle", { cx, cy, r: 3 }));
    return group;
  }

  function drawExits(curve) {
    const group = draw("g", { class: "alone" });
    for (const point of curve.points.filter(drawable)) {
      const [cx, cy] = at(point);
      group.append(
        draw("circle", { cx, cy, r: 8.5 }),
        draw("text", { x: cx, y: Number(cy) + 3.5, "text-anchor": "middle" }, point.shown),
      );
    }
    return group;
  }

  function drawMarks() {
    const group = draw("g", { class: "marks" });
    const find = (family, place) => curves.find((curve) => curve.family === family).points[place];
    const stored = find(...payload.stored), now = find(state.family, state.place);
    if (drawable(stored)) {
      const [cx, cy] = at(stored).map(Number);
      group.append(
        draw("path", { class: "stored", d: `M${cx} ${cy - 10}l10 10l-10 10l-10 -10z` }),
        draw("text", { x: cx, y: cy + 26, "text-anchor": "middle" }, "stored"),
      );
    }
    if (drawable(now)) {
      const [cx, cy] = at(now);
      const dot = draw("circle", { class: "now", cx, cy, r: 6 });
      dot.style.setProperty("--colour", familyColour(state.family));
      group.append(dot);
    }
    group.append(draw("circle", { class: "focus", r: 9, visibility: "hidden" }));
    return group;
  }

  const describe = (curve, point) => [
    curve.family === null ? `Exit ${point.shown} alone` : `${curve.title} ${point.shown}`,
    `${score(point.score)} for ${macs(point.macs)}`,
  ];
  const pointOf = ([curve, index]) => curves[curve].points[index];

  function showFocus() {
    const ring = container.querySelector(".focus");
    tip.hidden = focus === null;
    ring.setAttribute("visibility", focus === null ? "hidden" : "visible");
    if (focus === null) return;
    const curve = curves[focus[0]], point = pointOf(focus);
    const [cx, cy] = at(point).map(Number);
    ring.setAttribute("cx", cx);
    ring.setAttribute("cy", cy);
    tip.replaceChildren(...describe(curve, point).map((line) => make("span", {}, line)));
    const room = container.clientWidth;
    tip.style.left = `${Math.max(0, Math.min(room - tip.offsetWidth, cx - tip.offsetWidth / 2))}px`;
    tip.style.top = `${cy > 70 ? cy - tip.offsetHeight - 14 : cy + 14}px`;
  }

  function setFocus(next, spoken) {
    focus = next;
    showFocus();
    if (spoken && focus) announce(describe(curves[focus[0]], pointOf(focus)).join(": "));
  }

  function nearest(event) {
    const box = container.getBoundingClientRect();
    const mouse = [event.clientX - box.left, event.clientY - box.top];
    let best = null, least = 28;
    curves.forEach((curve, c) =>
      curve.points.forEach((point, i) => {
        if (!drawable(point)) return;
        const far = Math.hypot(x(point.macs) - mouse[0], y(point.score) - mouse[1]);
        if (far < least) [best, least] = [[c, i], far];
      }),
    );
    return best;
  }

  function pick(spot) {
    if (spot && curves[spot[0]].family !== null) choose(curves[spot[0]].family, spot[1]);
  }

  // From a point to the nearest one, by cost, of another curve.
  function cross([curve, index], step) {
    const next = (curve + step + curves.length) % curves.length;
    const far = (point) => Math.abs(point.macs - curves[curve].points[index].macs);
    const order = curves[next].points.map((point, i) => [far(point), i]).sort((a, b) => a[0] - b[0]);
    return [next, order[0][1]];
  }

  container.addEventListener("pointermove", (event) => setFocus(nearest(event), false));
  container.addEventListener("pointerleave", () => setFocus(null, false));
  container.addEventListener("click", (event) => pick(nearest(event)));
  container.addEventListener("blur", () => setFocus(null, false));
  container.addEventListener("focus", () => {
    if (container.matches(":focus-visible")) setFocus(here(), true);
  });
  container.addEventListener("keydown", (event) => {
    const spot = focus ?? here();
    const last = curves[spot[0]].points.length - 1;
    const moves = {
      ArrowLeft: () => [spot[0], Math.max(0, spot[1] - 1)],
      ArrowRight: () => [spot[0], Math.min(last, spot[1] + 1)],
      Home: () => [spot[0], 0],
      End: () => [spot[0], last],
      ArrowUp: () => cross(spot, -1),
      ArrowDown: () => cross(spot, 1),
      Enter: () => (pick(spot), spot),
      " ": () => (pick(spot), spot),
      Escape: () => null,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    setFocus(moves[event.key](), true);
  });

  const here = () => [curves.findIndex((curve) => curve.family === state.family), state.place];
  new ResizeObserver(render).observe(container);
  return {
    show(family, place) {
      state = { family, place };
      render();
    },
  };
}
