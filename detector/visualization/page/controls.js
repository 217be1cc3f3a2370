// What can be set: one of a few, one of many, a number, and what is chosen at the moment.

let controls = 0;

// `options`: [value, text]; one of them is pressed
function choice({ label, options, value, changed }) {
  const made = element("span", "", { className: "choice", role: "group", "aria-label": label }, element("span", label, { className: "label" }));
  const buttons = options.map(([own, text, help = ""]) => {
    const button = element("button", text, { type: "button", title: help, "aria-pressed": own === value });
    button.onclick = () => {
      made.set(own);
      changed(own);
    };
    made.append(button);
    return [own, button];
  });
  made.set = (chosen) => buttons.forEach(([own, button]) => button.setAttribute("aria-pressed", own === chosen));
  return made;
}

function selection({ label, options, value, changed }) {
  const id = `control-${controls++}`;
  const field = element("select", "", { id }, ...options.map(([own, text]) => element("option", text, { value: own })));
  field.value = value;
  field.onchange = () => changed(field.value);
  const made = element("span", "", { className: "selection" }, element("label", label, { htmlFor: id }), field);
  made.set = (chosen) => (field.value = chosen);
  return made;
}

// a slider with a field beside it; `changed` is called once a frame however quickly it is moved
function numberSlider({ label, low, high, step, value, changed, help = "" }) {
  const id = `control-${controls++}`;
  const digits = Math.max(0, Math.round(-Math.log10(step)));
  const slider = element("input", "", { type: "range", min: low, max: high, step, value, "aria-label": `${label}, slider` });
  const field = element("input", "", { type: "number", id, min: low, max: high, step: "any", value: value.toFixed(digits), title: help });
  let waiting = null;
  const take = (number) => {
    if (waiting === null) requestAnimationFrame(() => {
      changed(waiting);
      waiting = null;
    });
    waiting = number;
  };
  slider.oninput = () => {
    field.value = slider.valueAsNumber.toFixed(digits);
    field.setAttribute("aria-invalid", false);
    take(slider.valueAsNumber);
  };
  field.oninput = () => {
    const number = field.valueAsNumber;
    const fits = number >= low && number <= high;
    field.setAttribute("aria-invalid", !fits);
    if (!fits) return;
    slider.value = number;
    take(number);
  };
  const made = element("span", "", { className: "number-slider" }, element("label", label, { htmlFor: id }), slider, field);
  made.set = (number) => {
    slider.value = number; // to its own steps; the field shows more of the number
    field.value = +number.toFixed(digits + 2);
    field.setAttribute("aria-invalid", false);
  };
  return made;
}

// words that narrow what is shown, each of which can be taken away: [text, remove]
function chips(entries) {
  return element("span", "", { className: "chips" }, ...entries.map(([text, remove]) => {
    const button = element("button", `${text} ✕`, { type: "button", className: "chip", "aria-label": `no longer only ${text}` });
    button.onclick = remove;
    return button;
  }));
}

function pressable(text, press, help = "") {
  const made = element("button", text, { type: "button", title: help });
  made.onclick = press;
  return made;
}
