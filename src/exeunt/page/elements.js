// Making elements, and writing numbers. Text from the payload only ever becomes text nodes.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes))
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

const make = (name, attributes = {}, ...children) =>
  fill(document.createElement(name), attributes, children);
const draw = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);
const byId = (id) => document.getElementById(id);

// A number for people, and for programs in its `value`.
const figure = (value, text, attributes = {}) => make("data", { value, ...attributes }, text);

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const percent = (share, digits = 1) => (isNumber(share) ? `${(100 * share).toFixed(digits)}\u00a0%` : "–");
const points = (share) => {
  const text = (100 * Math.abs(share)).toFixed(1);
  return text === "0.0" ? "±0" : `${share < 0 ? "−" : "+"}${text}`;
};
const fourDigits = (value) => (isNumber(value) ? String(Number(value.toPrecision(4))) : "–");
const integer = (value) => value.toLocaleString("en");
const plural = (count, noun) => `${integer(count)} ${noun}${count === 1 ? "" : "s"}`;

// One named number and what there is to say of it.
const fact = (title, value, detail) =>
  make("div", {}, make("dt", {}, title), make("dd", {}, value), make("dd", { class: "detail" }, detail));

// Multiply-adds, all in the unit that suits the whole net.
const [UNIT, UNIT_NAME] = full >= 1e10 ? [1e9, "G"] : full >= 1e5 ? [1e6, "M"] : [1, ""];
const DIGITS = full / UNIT >= 1000 ? 0 : full / UNIT >= 100 ? 1 : 2;
const macs = (value) => (UNIT === 1 ? fourDigits(value) : `${(value / UNIT).toFixed(DIGITS)}\u00a0${UNIT_NAME}`);

// The score that the report is about, by its task.
const SCORE = classifies ? "accuracy" : "mae";
const SCORE_TITLE = classifies ? "Accuracy" : "Mean absolute error";
const score = (value) => (classifies ? percent(value) : fourDigits(value));

// Colours of exits run from early to late, those of families are named by their order.
const exitColour = (k) =>
  `color-mix(in oklab, var(--late) ${E > 1 ? Math.round((100 * k) / (E - 1)) : 100}%, var(--early))`;
const familyColour = (index) => `var(--family-${index % 6})`;

// A row of segments whose lengths are shares of `counts`, one per exit.
function depthBar(counts, total) {
  const bar = make("div", { class: "depth", role: "img" });
  const spoken = [];
  counts.forEach((count, k) => {
    if (!count) return;
    const part = make("span", { title: `exit ${k + 1}: ${percent(count / total, 0)}` });
    part.style.width = `${(100 * count) / total}%`;
    part.style.background = exitColour(k);
    bar.append(part);
    spoken.push(`exit ${k + 1} ${percent(count / total, 0)}`);
  });
  bar.setAttribute("aria-label", spoken.join(", "));
  return bar;
}
