// Images by the exit at which they leave, with what every exit says of them.

const FIRST_SHOWN = matchMedia("(max-width: 40rem)").matches ? 4 : 8;

function makeGallery(container, which, ofClass) {
  const opened = new Set();
  const cards = payload.gallery.map((shot) => makeCard(shot));
  let last = null;
  for (const filter of [which, ofClass]) filter.addEventListener("change", () => show(last));

  function makeCard({ row: n, name, image }) {
    const heading = make("p", { class: "verdict" });
    const answers = Array.from({ length: E }, (_, k) => make("li", {}, ...answer(k, n)));
    const element = make("article", { class: "card", "data-row": n },
      make("img", { src: image, alt: classifies ? payload.classes[targets[n]] : fourDigits(targets[n]), title: name, decoding: "async" }),
      make("ol", {}, ...answers),
      heading);
    return { n, name, element, heading, answers };
  }

  function answer(k, n) {
    const said = predictions[k * N + n];
    if (!classifies) return [make("span", { class: "said" }, fourDigits(said))];
    return [
      make("span", { class: "said" }, payload.classes[said]),
      make("span", { class: "sure" }, percent(readings.confidence[k * N + n], 0)),
    ];
  }

  function update(card, k) {
    const target = targets[card.n], said = predictions[k * N + card.n];
    card.exit = k;
    card.right = classifies ? said === target : null;
    card.answers.forEach((item, index) => {
      item.className = index === k ? "taken" : index > k ? "skipped" : "";
      item.toggleAttribute("aria-current", index === k);
    });
    card.element.classList.toggle("wrong", card.right === false);
    card.element.classList.toggle("right", card.right === true);
    card.heading.replaceChildren(
      ...(classifies
        ? [card.right ? "✓ " : "✗ ", make("b", {}, payload.classes[target]), card.right ? "" : ` taken for ${payload.classes[said]}`]
        : [make("b", {}, fourDigits(said)), `, is ${fourDigits(target)}`]),
    );
  }

  const wanted = (card) =>
    (which.value === "all" || card.right === (which.value === "right")) &&
    (ofClass.value === "" || targets[card.n] === Number(ofClass.value));

  function show(outcome) {
    last = outcome;
    cards.forEach((card) => update(card, outcome.taken[card.n]));
    container.replaceChildren(...outcome.counts.map((count, k) => group(outcome, count, k)).filter(Boolean));
  }

  function group(outcome, count, k) {
    const mine = cards.filter((card) => card.exit === k && wanted(card));
    if (!count) return null;
    const few = opened.has(k) ? mine : mine.slice(0, FIRST_SHOWN);
    const swatch = make("i", { class: "swatch" });
    swatch.style.background = exitColour(k);
    const section = make("section", { class: "leavers", "data-exit": k },
      make("h3", {}, swatch, `Exit ${k + 1}`,
        make("span", {}, `${plural(count, "image")} left here, ${percent(count / N, 0)}` +
          (classifies ? `; ${percent(outcome.byExit[k].accuracy, 0)} right` : ""))),
      make("div", { class: "cards" }, ...few.map((card) => card.element)));
    if (!mine.length) section.lastChild.append(make("p", { class: "none" }, "None of them is among the images in this file."));
    if (mine.length > FIRST_SHOWN) {
      const button = make("button", { type: "button", class: "quiet" },
        opened.has(k) ? `Show ${FIRST_SHOWN}` : `Show all ${mine.length}`);
      button.addEventListener("click", () => {
        opened.has(k) ? opened.delete(k) : opened.add(k);
        show(last);
        container.querySelector(`[data-exit="${k}"] > button`)?.focus();
      });
      section.append(button);
    }
    return section;
  }

  return { show };
}
