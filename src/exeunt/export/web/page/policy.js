// The choice of a policy: kinds, and a slider over the settings of one.

function makePolicy(changed) {
  const { kinds } = exported;
  const slider = byId("live-setting");
  const places = kinds.map(({ settings }) => Math.floor(0.66 * (settings.length - 1)));
  let kind = 0;

  const setting = () => kinds[kind].settings[places[kind]];

  function show() {
    const { settings, parameter, note } = kinds[kind];
    byId(`live-kind-${kind}`).checked = true;
    byId("live-slide").hidden = settings.length < 2;
    slider.max = settings.length - 1;
    slider.value = places[kind];
    slider.setAttribute("aria-valuetext", setting().shown);
    byId("live-setting-label").textContent = parameter;
    byId("live-setting-shown").textContent = setting().shown;
    byId("live-policy-note").textContent = note;
    byId("live-spec").textContent = setting().short;
    program.follow(setting());
  }

  function choose(which, place = places[which]) {
    kind = which;
    places[which] = place;
    show();
    changed();
  }

  byId("live-kinds").append(...kinds.map(({ title, name }, which) => {
    const radio = make("input", { type: "radio", name: "live-kind", id: `live-kind-${which}`, value: name });
    radio.addEventListener("change", () => choose(which));
    return make("label", {}, radio, title);
  }));
  byId("live-controls").addEventListener("submit", (event) => event.preventDefault());
  slider.addEventListener("input", () => choose(kind, Number(slider.value)));
  show();
  return { setting };
}
