// Pictures in a grid that may have thousands: only those that can be seen are elements.

const GRID_GAP = 10;
const CELL_WIDTH = 210; // at least, where there is room for two
const PRINTED = 24; // pictures on paper

// pictureAt: place -> picture; open: called with the place that is pressed; lines: of text below each, the title among them;
// across: the number of sides of each picture
function imageGrid({ label, pictureAt, open, lines = 3, across = 1, empty = "no image" }) {
  const inner = element("div", "", { className: "inner" });
  const made = element("div", "", { className: "image-grid", tabIndex: 0, role: "group", "aria-label": `${label}: arrow keys walk through them, Enter opens one` }, inner);
  const state = { count: 0, at: 0, built: new Map(), columns: 0, width: 0, high: 0 };

  function measure() {
    const room = made.clientWidth - GRID_GAP;
    if (room <= 0) return false;
    state.columns = Math.max(room > 300 && across === 1 ? 2 : 1, Math.floor(room / (across * CELL_WIDTH + GRID_GAP)));
    state.width = Math.floor(room / state.columns) - GRID_GAP;
    state.high = Math.round((0.75 * state.width) / across) + 18 * lines + 12 + (across > 1 ? 18 : 0);
    return true;
  }

  function cell(place) {
    const picture = pictureAt(place);
    const button = element("button", "", { type: "button", className: "cell", tabIndex: -1 });
    const sides = drawnSides(picture, { pixels: state.width / across });
    for (const drawing of sides.drawings) drawing.style.height = `${Math.round((0.75 * state.width) / across)}px`;
    const caption = element("span", "", { className: "words" });
    caption.style.height = `${18 * lines}px`;
    button.say = (picture) => {
      caption.replaceChildren(element("b", picture.title), ...picture.lines.slice(0, lines - 1).map((line) => element("span", line)));
      button.setAttribute("aria-label", [picture.title, ...picture.lines].join(", "));
    };
    button.say(picture);
    button.remark = sides.remark;
    button.append(sides, caption);
    button.onclick = () => {
      state.at = place;
      mark();
      open(place);
    };
    Object.assign(button.style, {
      left: `${(place % state.columns) * (state.width + GRID_GAP)}px`,
      top: `${Math.floor(place / state.columns) * (state.high + GRID_GAP)}px`,
      width: `${state.width}px`,
      height: `${state.high}px`,
    });
    return button;
  }

  function fill(all = matchMedia("print").matches) {
    if (!state.width && !measure()) return;
    const row = state.high + GRID_GAP;
    const first = all ? 0 : Math.max(0, Math.floor(made.scrollTop / row) - 1) * state.columns;
    const last = all ? Math.min(state.count, PRINTED) : Math.min(state.count, (Math.ceil((made.scrollTop + made.clientHeight) / row) + 1) * state.columns);
    for (const [place, one] of state.built)
      if (place < first || place >= last) {
        one.remove();
        state.built.delete(place);
      }
    for (let place = first; place < last; place++)
      if (!state.built.has(place)) {
        const one = cell(place);
        state.built.set(place, one);
        inner.append(one);
      }
    mark();
  }

  function mark() {
    for (const [place, one] of state.built) one.classList.toggle("now", place === state.at && document.activeElement === made);
  }

  function rebuild() {
    state.built.forEach((one) => one.remove());
    state.built.clear();
    state.width = 0;
    if (!measure()) return;
    const rows = Math.ceil(state.count / state.columns);
    inner.style.height = `${rows * (state.high + GRID_GAP) - GRID_GAP}px`;
    inner.textContent = "";
    if (!state.count) inner.append(element("p", empty, { className: "hint" }));
    made.style.height = `${Math.min(rows * (state.high + GRID_GAP) + 10, Math.max(340, 0.78 * innerHeight))}px`;
    fill();
  }

  let waiting = false;
  made.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => ((waiting = false), fill()));
  });
  made.addEventListener("focus", mark);
  made.addEventListener("blur", mark);
  made.addEventListener("keydown", (event) => {
    if (event.target !== made || !state.count) return;
    const way = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: state.columns, ArrowUp: -state.columns, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Enter" || event.key === " ") open(state.at);
    else if (way === undefined) return;
    else {
      state.at = Math.max(0, Math.min(state.count - 1, state.at + way));
      const top = Math.floor(state.at / state.columns) * (state.high + GRID_GAP);
      made.scrollTop = Math.min(top, Math.max(top + state.high - made.clientHeight, made.scrollTop));
      fill();
    }
    event.preventDefault();
  });
  // the first pictures alone, in the page's own flow
  addEventListener("beforeprint", () => fill(true));
  addEventListener("afterprint", () => fill());
  redrawn.add(rebuild);
  // back to the top, as what is shown is another selection
  made.show = (count) => {
    Object.assign(state, { count, at: 0 });
    made.scrollTop = 0;
    rebuild();
  };
  // the same selection: boxes over its pictures and words below them have changed
  made.refresh = () => {
    for (const [place, one] of state.built) {
      const picture = pictureAt(place);
      one.remark(picture);
      one.say(picture);
    }
  };
  return made;
}
