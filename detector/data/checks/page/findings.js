// What is wrong or looks wrong: kinds to choose from, a table of all, and the pictures.

const GROUP_WORDS = {
  leaks: "leaks between splits: what training has seen measures it",
  duplicates: "copies within a split",
  objects: "annotated objects that are wrong",
  files: "files that are missing or wrong",
  suspicions: "suspicions, which may be right",
};

// a finding's picture with what the finding is about marked in it
function pictureOf(finding) {
  const lines = [finding.what, `${finding.split}, ${finding.kind}`];
  if (finding.picture === null)
    return { width: 4, height: 3, source: null, file: null, title: finding.where, lines, marks: [] };
  const picture = data.pictures[finding.picture];
  const [x, y] = picture.offset;
  const marks = finding.boxes.map((box, i) => ({ box: [box[0] - x, box[1] - y, box[2] - x, box[3] - y], kind: i ? "missed" : "wrong", text: finding.kind }));
  return { ...picture, title: finding.where, lines, marks: picture.marks.concat(marks) };
}

function pairOf(finding) {
  const first = drawnPicture(data.pictures[finding.picture], { pixels: 300, kinds: [] });
  const second = finding.other === null ? element("p", "the other picture cannot be read") : drawnPicture(data.pictures[finding.other], { pixels: 300, kinds: [] });
  const named = (split, name, picture) => element("figure", "", {}, picture, element("figcaption", `${split}: ${name}`));
  const other = finding.other === null ? { split: "", title: "" } : data.pictures[finding.other];
  return element("div", "", { className: "copy" },
    element("p", finding.kind, { className: "kind" }),
    element("div", "", { className: "side-by-side" }, named(finding.split, finding.where, first), named(other.split, other.title, second)),
    element("p", finding.what, { className: "hint" }));
}

function drawFindings() {
  const place = content("findings");
  if (data.notes.length) place.append(element("ul", "", { className: "notes" }, ...data.notes.map((note) => element("li", note))));
  if (!data.findings.length) {
    place.append(element("p", "Nothing was found to be wrong.", { className: "fine" }));
    return;
  }
  const kinds = [...new Set(data.findings.map((one) => one.kind))];
  const first = (kind) => data.findings.find((one) => one.kind === kind);
  const order = Object.keys(GROUP_WORDS);
  kinds.sort((a, b) => order.indexOf(first(a).group) - order.indexOf(first(b).group) || a.localeCompare(b));
  const state = { kind: null, split: "all", shown: [] };
  const dialog = pictureDialog();
  const table = sortableTable({
    label: "findings",
    columns: [
      { title: "kind", value: (one) => one.kind, left: true },
      { title: "split", value: (one) => one.split, left: true },
      { title: "where", value: (one) => one.where, left: true },
      { title: "what", value: (one) => one.what, left: true },
    ],
    rows: data.findings,
    search: true,
    choose: (one) => {
      state.chosen = one;
      const at = state.shown.indexOf(one);
      if (at >= 0) dialog.openAt(at, state.shown.length, (n) => pictureOf(state.shown[n]));
    },
    chosen: (one) => one === state.chosen,
  });
  const grid = imageGrid({
    label: "pictures of findings",
    pictureAt: (n) => pictureOf(state.shown[n]),
    open: (n) => dialog.openAt(n, state.shown.length, (m) => pictureOf(state.shown[m])),
    empty: "no picture: these findings are about classes or about files that are no image of a split",
  });
  const hidden = element("p", "", { className: "hint" });
  const bars = barList({
    title: "Press a kind to see it alone",
    bars: kinds.map((kind) => {
      const number = data.findings.filter((one) => one.kind === kind).length;
      const { group } = first(kind);
      return { name: kind, value: Math.log10(1 + number), text: whole(number), help: GROUP_WORDS[group], tone: group === "suspicions" ? "missed" : "wrong" };
    }),
    low: 0,
    press: (bar) => {
      state.kind = state.kind === bar.name ? null : bar.name;
      show();
    },
    chosen: (bar) => bar.name === state.kind,
    hint: "Bars are as long as the logarithm of the number; orange is certainly wrong, yellow wants a look.",
  });
  const splits = ["all", ...data.splits.map((one) => one.name)];
  const control = choice({ label: "split", options: splits.map((one) => [one, one]), value: "all", changed: (split) => ((state.split = split), show()) });

  function show() {
    const chosen = data.findings.filter((one) => (state.kind === null || one.kind === state.kind) && (state.split === "all" || one.split === state.split));
    state.shown = chosen.filter((one) => one.picture !== null);
    const without = chosen.filter((one) => one.hasPlace && one.picture === null).length;
    hidden.textContent = without ? `${counted(without, "more finding")} without a picture: it cannot be read, or there are many of the kind.` : "";
    table.show(chosen);
    grid.show(state.shown.length);
  }
  place.append(bars, element("p", "", { className: "row" }, control), grid, hidden, table);
  show();
}

function drawCopies() {
  const pairs = data.findings.filter((one) => one.isPair && one.picture !== null);
  const place = content("copies");
  if (!data.findings.some((one) => one.isPair)) {
    place.append(element("p", "None: no picture is there twice, not even made smaller, compressed, cut by a few percent, brighter, mirrored or turned.", { className: "fine" }));
    return;
  }
  const list = element("div", "", { className: "copies" });
  const more = element("p");
  let shown = 0;
  const add = () => {
    list.append(...pairs.slice(shown, shown + 12).map(pairOf));
    shown = Math.min(pairs.length, shown + 12);
    more.replaceChildren();
    if (shown < pairs.length) more.append(pressable(`show ${Math.min(12, pairs.length - shown)} more of ${whole(pairs.length)}`, add));
  };
  const between = data.findings.filter((one) => one.group === "leaks").length;
  place.append(element("p", between ? `${counted(between, "picture")} of one split ${between === 1 ? "is" : "are"} in another as well. Take them out of one of the two, or what is measured is too good.` : "No copy is in two splits.", { className: between ? "failed" : "fine" }), list, more);
  add();
}

drawFindings();
drawCopies();
