// The page: controls, and what follows from them.

const families = payload.families;
const chosen = { family: payload.stored[0], place: payload.stored[1] };
const setting = () => families[chosen.family].settings[chosen.place];
const whole = outcomeOf(null);

// Where each family was left when another was looked at.
const places = families.map((family, index) =>
  index === payload.stored[0] ? payload.stored[1] : Math.floor(family.settings.length / 2));

const curves = [
  ...families.map((family, index) => ({
    title: family.title,
    colour: familyColour(index),
    family: index,
    points: family.settings.map(({ rules, shown }, place) => {
      const outcome = outcomeOf(rules);
      return { macs: outcome.macs, score: outcome[SCORE], shown, place };
    }),
  })),
  {
    title: "each exit alone",
    colour: "var(--soft)",
    family: null,
    points: payload.exits.map((exit, k) => ({
      macs: payload.exit_macs[k], score: exit[SCORE], shown: `${k + 1}`, place: k,
    })),
  },
];

const chart = makeChart(byId("chart"), (text) => { byId("readout-live").textContent = text; }, curves, choose);
const gallery = makeGallery(byId("gallery"), byId("which"), byId("class"));
const classTable = classifies ? makeClassTable(byId("per-class"), classesOf(whole.taken)) : null;

function choose(family, place) {
  chosen.family = family;
  chosen.place = places[family] = place;
  update();
}

function update() {
  const family = families[chosen.family];
  const outcome = outcomeOf(setting().rules);
  document.documentElement.style.setProperty("--chosen", familyColour(chosen.family));
  byId(`kind-${chosen.family}`).checked = true;
  const slider = byId("setting");
  slider.max = family.settings.length - 1;
  slider.value = chosen.place;
  slider.setAttribute("aria-valuetext", setting().shown);
  byId("slide").hidden = family.settings.length < 2;
  byId("setting-label").textContent = family.parameter;
  byId("shown").textContent = setting().shown;
  byId("back").disabled = chosen.family === payload.stored[0] && chosen.place === payload.stored[1];
  byId("note").textContent = family.note;
  byId("spec").textContent = `--policy ${setting().spec}`;
  showFigures(outcome);
  chart.show(chosen.family, chosen.place);
  showShares(byId("shares"), outcome);
  if (classTable) {
    const classes = classesOf(outcome.taken);
    classTable.show(classes);
    showConfusions(byId("confusions"), classes);
  }
  gallery.show(outcome);
}

function showFigures(outcome) {
  const facts = [];
  if (classifies) {
    const [low, high] = wilson(outcome.right, N);
    facts.push(
      ["Accuracy", figure(outcome.accuracy, percent(outcome.accuracy), { id: "accuracy" }),
        `${points(outcome.accuracy - whole.accuracy)} points against the whole net; 95 % interval ${percent(low).replace("\u00a0%", "")} to ${percent(high)}`],
    );
  } else
    facts.push(
      ["Mean absolute error", figure(outcome.mae, fourDigits(outcome.mae), { id: "mae" }), `whole net: ${fourDigits(whole.mae)}`],
      ["Root mean square error", figure(outcome.rmse, fourDigits(outcome.rmse), { id: "rmse" }), `whole net: ${fourDigits(whole.rmse)}`],
    );
  facts.push(
    ["Mean cost", figure(outcome.macs, macs(outcome.macs), { id: "macs" }), `multiply-adds per image; whole net: ${macs(full)}`],
    ["Saving", figure(outcome.saving, percent(outcome.saving), { id: "saving" }), "of the whole net's multiply-adds"],
  );
  byId("figures").replaceChildren(...facts.map((parts) => fact(...parts)));
  byId("brief").replaceChildren(
    make("b", {}, score(outcome[SCORE])), " for ", make("b", {}, macs(outcome.macs)), `, ${percent(outcome.saving)} saved`);
}

function buildControls() {
  byId("kinds").append(...families.map((family, index) => {
    const radio = make("input", { type: "radio", name: "kind", id: `kind-${index}`, value: family.name });
    radio.addEventListener("change", () => choose(index, places[index]));
    const swatch = make("i", { class: "swatch" });
    swatch.style.background = familyColour(index);
    return make("label", {}, radio, swatch, family.title);
  }));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("setting").addEventListener("input", (event) => choose(chosen.family, Number(event.target.value)));
  byId("back").addEventListener("click", () => {
    choose(...payload.stored);
    byId(`kind-${chosen.family}`).focus();
  });
}

function buildStill() {
  const stored = outcomeOf(families[payload.stored[0]].settings[payload.stored[1]].rules);
  if (!classifies) byId("trade").textContent = "Error against cost";
  byId("title").textContent = payload.title;
  byId("lede").textContent = `${payload.summary} ` + (classifies
    ? `With the stored policy ${percent(stored.accuracy)} are right for ${percent(1 - stored.saving)} of the multiply-adds; the whole network gets ${percent(whole.accuracy)}.`
    : `With the stored policy the mean absolute error is ${fourDigits(stored.mae)} for ${percent(1 - stored.saving)} of the multiply-adds; the whole network has ${fourDigits(whole.mae)}.`);
  byId("trade-about").textContent =
    `Each curve is one kind of policy over its whole range${classifies ? "" : ", lower is better"}; numbered circles are the exits, as if all images took that one. Point at a curve for its values, or press it to choose.`;
  byId("readout").textContent = "The diamond marks the policy stored with the weights, the dot the one chosen here.";
  const shown = payload.gallery.length;
  byId("images-about").textContent =
    `${integer(shown)} of the ${integer(N)}, by the exit at which they leave. Below each other: what every exit says, the one taken in bold, those that were not run in grey. ` +
    `Chosen in turn from every exit of the stored policy, ${classifies ? "right and wrong, and every class" : "small errors and large ones"}: rare cases are shown more often than they occur.`;
  byId("exits-about").textContent = "Each as if all images took it." + (classifies
    ? ` “Right by now” counts an image that this exit or an earlier one gets right; “lost by the end” one that is right here and wrong at the last exit, “won” the reverse. One who knew the answers would get ${percent(payload.oracle.accuracy)} at ${macs(payload.oracle.macs)} on average: no policy can do better.`
    : "");
  showExits(byId("exits"));
  byId("class").append(make("option", { value: "" }, "every class"),
    ...payload.classes.map((name, index) => make("option", { value: index }, name)));
  byId("images").hidden = shown === 0;
  for (const id of ["classes", "filters", "diagnosis"]) byId(id).hidden = !classifies;
  if (classifies) {
    showReliability(byId("reliability"));
    showAgreement(byId("agreement"));
    showOverthinking(byId("overthinking"));
  }
  byId("facts").append(...payload.facts.map(({ title, facts }) =>
    make("section", {}, make("h3", {}, title),
      make("dl", {}, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))))));
}

buildControls();
buildStill();
update();
