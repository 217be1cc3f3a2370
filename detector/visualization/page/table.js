// A table that is sorted by a press on a title, searched by a word, and walked through by arrow keys.

const MOST_ROWS = 500; // that are drawn at once; a press draws as many more

// columns: { title, value: row -> number, text or null, text: row -> text, share: row -> 0..1 for a bar, cell: row -> node,
//            left: aligned so, help }
// choose: called with the row that is pressed or walked to; chosen: row -> is it marked
function sortableTable({ columns, rows, label, sort = null, descending = true, search = false, choose = null, chosen = () => false, empty = "nothing" }) {
  const made = element("div", "", { className: "sortable" });
  const body = element("tbody");
  const titles = element("tr");
  const table = element("table", "", { "aria-label": label }, element("thead", "", {}, titles), body);
  const more = element("p", "", { className: "hint" });
  const state = { sort: columns.find((column) => column.title === sort) ?? null, descending, word: "", most: MOST_ROWS, rows, shown: [] };

  for (const column of columns) {
    const press = element("button", column.title, { type: "button", title: column.help ?? "" });
    press.onclick = () => {
      const downFirst = state.rows.some((row) => typeof column.value(row) === "number");
      // one way, the other way, and then as the rows came
      if (state.sort !== column) Object.assign(state, { sort: column, descending: downFirst });
      else if (state.descending === downFirst) state.descending = !downFirst;
      else state.sort = null;
      draw();
    };
    titles.append(element("th", "", { scope: "col", className: column.left ? "left" : "" }, press));
  }

  const compare = (a, b) => {
    const [x, y] = [state.sort.value(a), state.sort.value(b)];
    const missing = (value) => value === null || value === undefined || Number.isNaN(value);
    if (missing(x) || missing(y)) return missing(x) - missing(y); // last, whichever way
    const order = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
    return state.descending ? -order : order;
  };
  const text = (column, row) => (column.text ? column.text(row) : String(column.value(row) ?? "–"));

  function line(row) {
    const made = element("tr", "", {}, ...columns.map((column) => element("td", "", { className: column.left ? "left" : "" })));
    made.row = row;
    fill(made);
    return made;
  }

  // what a row says now; a cell that says the same stays as it is
  function fill(line) {
    line.setAttribute("aria-selected", chosen(line.row));
    columns.forEach((column, i) => {
      const cell = line.children[i];
      const said = column.cell ? null : text(column, line.row);
      const share = column.share?.(line.row);
      if (said !== null && cell.said === said && cell.share === share) return;
      Object.assign(cell, { said, share });
      cell.replaceChildren(column.cell ? column.cell(line.row) : said);
      if (!isNumber(share)) return;
      const filled = element("i");
      filled.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
      cell.append(element("i", "", { className: "share" }, filled));
    });
  }

  function draw() {
    const found = state.word ? state.rows.filter((row) => columns.some((column) => column.left && text(column, row).toLowerCase().includes(state.word))) : [...state.rows];
    state.shown = state.sort ? found.sort(compare) : found;
    const lines = [...body.children];
    const shown = state.shown.slice(0, state.most);
    if (shown.length && lines.length === shown.length && lines.every((one, i) => one.row === shown[i])) lines.forEach(fill);
    else body.replaceChildren(...shown.map(line));
    if (!state.shown.length) body.append(element("tr", "", {}, element("td", empty, { colSpan: columns.length, className: "left" })));
    [...titles.children].forEach((title, i) => title.setAttribute("aria-sort", state.sort !== columns[i] ? "none" : state.descending ? "descending" : "ascending"));
    const hidden = state.shown.length - state.most;
    more.replaceChildren();
    if (hidden > 0) more.append(`${counted(hidden, "more row")}. `, pressable("show more", () => ((state.most += MOST_ROWS), draw())));
  }

  const mark = () => [...body.children].forEach((one) => one.row !== undefined && one.setAttribute("aria-selected", chosen(one.row)));
  if (choose) {
    table.classList.add("choosable");
    body.tabIndex = 0;
    const take = (row) => {
      choose(row);
      mark();
    };
    body.addEventListener("click", (event) => {
      const { row } = event.target.closest("tr");
      if (row !== undefined && !event.target.closest("button, a")) take(row);
    });
    body.addEventListener("keydown", (event) => {
      const lines = [...body.children];
      const at = lines.findIndex((one) => one.row !== undefined && chosen(one.row));
      const to = { ArrowDown: at + 1, ArrowUp: Math.max(0, at - 1), Home: 0, End: lines.length - 1 }[event.key];
      if (to === undefined || event.target !== body) return;
      const next = lines[Math.min(to, lines.length - 1)];
      if (next.row !== undefined) take(next.row);
      // in the table alone: the page stays where it is
      const [above, below] = [next.offsetTop - titles.offsetHeight, next.offsetTop + next.offsetHeight - scroll.clientHeight];
      scroll.scrollTop = Math.min(above, Math.max(below, scroll.scrollTop));
      event.preventDefault();
    });
  }

  if (search) {
    const field = element("input", "", { type: "search", placeholder: "find …", "aria-label": `find in ${label}` });
    field.oninput = () => {
      state.word = field.value.toLowerCase();
      draw();
    };
    made.append(element("p", "", { className: "no-print" }, field));
  }
  const scroll = element("div", "", { className: "scroll" }, table);
  made.append(scroll, more);
  made.show = (rows) => {
    state.rows = rows;
    draw();
  };
  made.mark = mark;
  draw();
  return made;
}
