// Tables: what leaves where, classes, exits, and how exits agree.

function row(cells, header = false, attributes = {}) {
  return make("tr", attributes, ...cells.map((cell, index) =>
    header
      ? make("th", { scope: "col" }, cell)
      : make(index === 0 ? "th" : "td", index === 0 ? { scope: "row" } : {}, cell)));
}

const caption = (text) => make("caption", { class: "hidden" }, text);

function showShares(table, outcome) {
  const most = Math.max(...outcome.counts);
  const rows = outcome.counts.map((count, k) => {
    const bar = make("div", { class: "bar" });
    bar.style.width = `${(100 * count) / most}%`;
    bar.style.background = exitColour(k);
    return row([
      `Exit ${k + 1}`,
      make("div", { class: "track" }, bar),
      figure(count / N, percent(count / N), { class: "share" }),
      integer(count),
      score(count ? outcome.byExit[k][SCORE] : null),
      macs(payload.exit_macs[k]),
    ]);
  });
  table.replaceChildren(
    caption("Images that leave at each exit"),
    make("thead", {}, row(["", "", "share", "images", classifies ? "right" : "error", "cost"], true)),
    make("tbody", {}, ...rows),
  );
}

const CLASS_COLUMNS = [
  ["class", (one) => one.name],
  ["images", (one) => one.samples],
  ["right", (one) => one.accuracy],
  ["whole net", (one) => one.whole],
  ["mean cost", (one) => one.macs],
];

// Makes the table of the classes; `show(classes)` fills it in the order that was asked for last.
function makeClassTable(table, whole) {
  let order = null, down = false, shown = [];

  function sortBy(column) {
    down = order === column ? !down : column > 0;
    order = column;
    fillRows();
  }

  function fillRows() {
    const heads = CLASS_COLUMNS.map(([title], column) => {
      const button = make("button", { type: "button" }, title);
      button.addEventListener("click", () => {
        sortBy(column);
        table.querySelectorAll("thead button")[column].focus();
      });
      const sorted = order === column ? (down ? "descending" : "ascending") : null;
      return make("th", { scope: "col", "aria-sort": sorted }, button);
    });
    const key = order === null ? null : CLASS_COLUMNS[order][1];
    const sorted = [...shown];
    if (key)
      sorted.sort((a, b) => {
        const [first, second] = [key(a), key(b)];
        const less = typeof first === "string" ? first.localeCompare(second) : (first || 0) - (second || 0);
        return down ? -less : less;
      });
    table.replaceChildren(
      caption("Figures of each class"),
      make("thead", {}, make("tr", {}, ...heads, make("th", { scope: "col" }, "leaves at"))),
      make("tbody", {}, ...sorted.map((one) =>
        row([
          one.name,
          integer(one.samples),
          figure(one.accuracy, percent(one.accuracy), { class: "accuracy" }),
          percent(one.whole),
          figure(one.macs, one.samples ? macs(one.macs) : "–", { class: "macs" }),
          depthBar(one.counts, one.samples),
        ], false, { "data-class": one.index }))),
    );
  }

  return {
    show(classes) {
      shown = classes.map((one) => ({ ...one, whole: whole[one.index].accuracy }));
      fillRows();
    },
  };
}

function showConfusions(list, classes) {
  const pairs = classes.flatMap((own) =>
    [...own.takenFor].map(([said, count]) => ({ own, said: payload.classes[said], count })));
  pairs.sort((a, b) => b.count - a.count);
  const items = pairs.slice(0, 10).map(({ own, said, count }) =>
    make("li", {},
      make("b", {}, own.name), " taken for ", make("b", {}, said),
      make("span", {}, ` ${integer(count)} of ${integer(own.samples)} (${percent(count / own.samples, 0)})`)));
  list.replaceChildren(...(items.length ? items : [make("li", {}, "none")]));
}

function showExits(table) {
  const columns = [
    ["accuracy", "right", percent],
    ["mae", "mean absolute error", fourDigits],
    ["rmse", "root mean square", fourDigits],
    ["oracle", "right by now", percent],
    ["mean_confidence", "mean confidence", percent],
    ["ece", "calibration error", percent],
    ["spoiled", "lost by the end", percent],
    ["mended", "won by the end", percent],
  ].filter(([name]) => name in payload.exits[0]);
  table.replaceChildren(
    caption("What each exit costs, and how right it is alone"),
    make("thead", {}, row(["", "cost to here", "of the whole", ...columns.map(([, title]) => title)], true)),
    make("tbody", {}, ...payload.exits.map((exit, k) =>
      row([
        `Exit ${k + 1}`,
        macs(payload.exit_macs[k]),
        percent(payload.exit_macs[k] / full),
        ...columns.map(([name, , text]) => text(exit[name])),
      ]))),
  );
}

// One small plot for each exit: accuracy over confidence, darker where there are more images.
function showReliability(container) {
  const side = 132, inset = 4, below = 12, room = side - 2 * inset;
  payload.reliability.forEach((bins, k) => {
    const most = Math.max(...bins.counts);
    const width = room / bins.counts.length;
    const plot = draw("svg", { viewBox: `0 0 ${side} ${side + below}`, role: "img",
      "aria-label": `Exit ${k + 1}: mean confidence ${percent(payload.exits[k].mean_confidence)}, ` +
        `right ${percent(payload.exits[k].accuracy)}, calibration error ${percent(payload.exits[k].ece)}` });
    plot.append(draw("rect", { class: "frame", x: inset, y: inset, width: room, height: room }));
    bins.counts.forEach((count, bin) => {
      if (!count) return;
      const height = room * bins.accuracy[bin];
      const bar = draw("rect", { class: "bin", x: inset + bin * width + 0.5, width: width - 1,
        y: side - inset - height, height },
        draw("title", {}, `${plural(count, "image")}: confidence ${percent(bins.confidence[bin], 0)}, ` +
          `right ${percent(bins.accuracy[bin], 0)}`));
      bar.style.opacity = 0.25 + 0.75 * (count / most);
      plot.append(bar);
    });
    plot.append(draw("line", { class: "diagonal", x1: inset, y1: side - inset, x2: side - inset, y2: inset }));
    for (const [x, anchor, text] of [[inset, "start", "0"], [side / 2, "middle", "confidence"], [side - inset, "end", "1"]])
      plot.append(draw("text", { x, y: side + below - 3, "text-anchor": anchor }, text));
    container.append(make("div", { class: "multiple" },
      make("p", {}, make("b", {}, `Exit ${k + 1}`), ` error ${percent(payload.exits[k].ece)}`), plot));
  });
}

function showAgreement(table) {
  const numbers = payload.agreement.map((_, k) => `${k + 1}`);
  const values = payload.agreement.flat();
  const least = Math.min(...values);
  table.replaceChildren(
    caption("Share of images on which two exits predict the same class"),
    make("thead", {}, row(["exit", ...numbers], true)),
    make("tbody", {}, ...payload.agreement.map((shares, k) => {
      const cells = row([numbers[k], ...shares.map((share) => (100 * share).toFixed(0))]);
      shares.forEach((share, other) => {
        const strength = least < 1 ? (share - least) / (1 - least) : 1;
        const cell = cells.cells[other + 1];
        cell.style.background = `color-mix(in oklab, var(--late) ${Math.round(100 * strength)}%, var(--early))`;
        cell.className = strength > 0.5 ? "strong" : "weak";
      });
      return cells;
    })),
  );
}

function showOverthinking(list) {
  const found = payload.overthinking;
  list.replaceChildren(
    fact("Talked out of it", percent(found.destructive), "of the images are right at some exit and wrong at the last."),
    fact("Settled early", percent(found.wasteful), "are right from an exit before the last to the end: what follows changes nothing."),
    fact("Spent on that", percent(found.wasted_macs), "of the whole net's multiply-adds, on average over all images."),
  );
}
