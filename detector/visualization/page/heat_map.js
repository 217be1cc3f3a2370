// A matrix as shaded cells on a canvas, from a few to many thousand; arrow keys walk through it, Enter opens a cell.

const NUMBERED_CELL = 24; // pixels that a cell needs for a number in it

// rows, columns: names; values: row by row; tone: (row, column, value) -> 0..1, how dark; second: (row, column) -> in the
// second colour; text: value -> text in a cell; say: (row, column, value) -> text of the readout; press: (row, column)
// widest: pixels of a cell at most; ratio: height of a cell over its width
function heatMap({ title, rows, columns, rowTitle = "", columnTitle = "", values, tone, second = () => false, text = short, say, press = null, hint = "", widest = 64, ratio = 1 }) {
  const canvas = element("canvas", "", { tabIndex: 0, "aria-label": `${title}: arrow keys walk through the cells`, role: "img" });
  const readout = element("p", hint, { className: "readout", "aria-live": "polite" });
  const made = element("figure", "", { className: "chart heat" }, element("figcaption", title), canvas, readout);
  const pen = canvas.getContext("2d");
  let at = null;
  let place = null;

  // the frame and the names, which a change of values does not move
  function draw() {
    const room = made.clientWidth;
    if (!room) return;
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    pen.font = font;
    const longest = (names) => Math.max(0, ...names.map((name) => pen.measureText(name).width));
    const clip = Math.min(150, room * 0.3);
    const left = Math.min(clip, longest(rows)) + (rowTitle ? 22 : 6);
    const named = longest(columns) > 0;
    let cell = Math.min(widest, (room - left - 2) / columns.length);
    const upright = longest(columns) < cell - 6;
    const top = (named ? (upright ? 16 : Math.min(clip, longest(columns)) + 8) : 2) + (columnTitle ? 18 : 0);
    const high = cell * ratio;
    const [width, height] = [left + cell * columns.length + 2, top + high * rows.length + 2];
    const sharp = devicePixelRatio || 1;
    canvas.width = Math.ceil(width * sharp);
    canvas.height = Math.ceil(height * sharp);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const [ink, quiet, line, accent, ground, ...tones] = ["--ink", "--quiet", "--line", "--accent", "--raised", "--heat-0", "--heat-1"].map(styleValue);
    place = { left, top, cell, high, font, ink, line, accent, ground, tones };
    pen.scale(sharp, sharp);
    pen.font = font;
    pen.textBaseline = "middle";

    const shortened = (name) => {
      if (pen.measureText(name).width <= clip) return name;
      let kept = name.length;
      while (kept > 1 && pen.measureText(`${name.slice(0, kept)}…`).width > clip) kept--;
      return `${name.slice(0, kept)}…`;
    };
    const small = Math.min(12, Math.max(high, cell) - 1);
    const every = small < 6 ? Math.ceil(7 / high) : 1; // of many names as many as can be read
    pen.font = font.replace("12px", `${Math.max(6, Math.min(12, small))}px`);
    pen.fillStyle = ink;
    pen.textAlign = "right";
    rows.forEach((name, i) => i % every === 0 && pen.fillText(shortened(name), left - 5, top + (i + 0.5) * high));
    columns.forEach((name, j) => {
      if (j % every) return;
      pen.save();
      pen.translate(left + (j + 0.5) * cell, top - 5);
      if (!upright) pen.rotate(-Math.PI / 2);
      pen.textAlign = upright ? "center" : "left";
      pen.fillText(shortened(name), 0, upright ? -5 : 0);
      pen.restore();
    });
    pen.font = font;
    pen.fillStyle = quiet;
    pen.textAlign = "center";
    if (columnTitle) pen.fillText(columnTitle, left + (cell * columns.length) / 2, 8);
    if (rowTitle) {
      pen.save();
      pen.translate(8, top + (high * rows.length) / 2);
      pen.rotate(-Math.PI / 2);
      pen.fillText(rowTitle, 0, 0);
      pen.restore();
    }
    drawCells();
  }

  function drawCells() {
    if (!place) return;
    const { left, top, cell, high, font, ink, line, accent, ground, tones } = place;
    const numbered = cell >= NUMBERED_CELL && high >= 18;
    pen.fillStyle = ground;
    pen.fillRect(left - 2, top - 2, cell * columns.length + 4, high * rows.length + 4);
    pen.font = font;
    for (let i = 0; i < rows.length; i++)
      for (let j = 0; j < columns.length; j++) {
        const value = values[i * columns.length + j];
        const dark = isNumber(value) ? Math.max(0, Math.min(1, tone(i, j, value))) : 0;
        const [x, y] = [left + j * cell, top + i * high];
        if (dark > 0) {
          pen.globalAlpha = 0.08 + 0.92 * dark;
          pen.fillStyle = tones[second(i, j) ? 1 : 0];
          pen.fillRect(x, y, cell, high);
          pen.globalAlpha = 1;
        }
        if (numbered && isNumber(value) && value !== 0) {
          const words = text(value);
          if (pen.measureText(words).width > cell - 3) continue;
          pen.fillStyle = dark > 0.55 ? ground : ink;
          pen.textAlign = "center";
          pen.fillText(words, x + cell / 2, y + high / 2);
        }
      }
    pen.strokeStyle = line;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let i = 0; i <= (high > 6 ? rows.length : 1); i++) {
      const y = top + (high > 6 ? i : i * rows.length) * high;
      pen.moveTo(left, y);
      pen.lineTo(left + cell * columns.length, y);
    }
    for (let j = 0; j <= (cell > 6 ? columns.length : 1); j++) {
      const x = left + (cell > 6 ? j : j * columns.length) * cell;
      pen.moveTo(x, top);
      pen.lineTo(x, top + high * rows.length);
    }
    pen.stroke();

    if (at) {
      pen.strokeStyle = accent;
      pen.lineWidth = 2.5;
      pen.strokeRect(left + at[1] * cell, top + at[0] * high, cell, high);
    }
  }

  function go(cell) {
    if (String(cell) === String(at)) return;
    at = cell;
    tell();
    drawCells();
  }
  const tell = () => (readout.textContent = at ? say(...at, values[at[0] * columns.length + at[1]]) : hint);
  function under(event) {
    const frame = canvas.getBoundingClientRect();
    const [i, j] = [Math.floor((event.clientY - frame.top - place.top) / place.high), Math.floor((event.clientX - frame.left - place.left) / place.cell)];
    return i >= 0 && j >= 0 && i < rows.length && j < columns.length ? [i, j] : null;
  }
  canvas.addEventListener("pointermove", (event) => go(under(event)));
  canvas.addEventListener("pointerleave", () => go(null));
  canvas.addEventListener("click", (event) => {
    const cell = under(event);
    go(cell);
    if (cell && press) press(...cell);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && at && press) press(...at);
    const way = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!way) return;
    const [i, j] = at ?? [0, 0];
    go(at ? [Math.max(0, Math.min(rows.length - 1, i + way[0])), Math.max(0, Math.min(columns.length - 1, j + way[1]))] : [0, 0]);
    event.preventDefault();
  });
  canvas.style.cursor = press ? "pointer" : "default";
  made.update = (changed) => {
    values = changed;
    tell();
    drawCells();
  };
  redrawn.add(draw);
  requestAnimationFrame(draw); // once it has a width
  return made;
}
