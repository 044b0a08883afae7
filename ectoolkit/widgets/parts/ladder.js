// A verdict: one line a link, a sign and a word for its state, and the codes around the first difference.
const SIGNS = { holds: "✓", far: "!", collapsed: "!", broken: "✗", "not reached": "○" };

function rungOf(rung) {
  const item = make("li", { class: "ect-rung", "data-standing": rung.standing });
  item.append(make("span", { class: "ect-sign", "aria-hidden": "true" }, SIGNS[rung.standing]));
  const text = make("div");
  const head = make("div", { class: "ect-rung-head" });
  head.append(make("b", {}, rung.name), make("span", { class: "ect-must" }, `must be ${rung.must}`));
  head.append(make("span", { class: "ect-standing" }, rung.standing));
  text.append(head, make("div", { class: "ect-result" }, rung.result));
  if (rung.meaning) text.append(make("div", { class: "ect-meaning" }, `Usually means: ${rung.meaning}`));
  item.append(text);
  return item;
}

function codesOf(around) {
  const scroll = make("div", { class: "ect-around", role: "region", tabindex: "0", "aria-label": "codes around it" });
  const table = make("table"), [down, across] = around.axes;
  table.append(make("caption", {}, `${around.place}: candidate, and (expected) where they differ`));
  const head = table.createTHead().insertRow();
  head.append(make("td"));
  for (const column of around.columns) head.append(make("th", { scope: "col" }, `${across} ${column}`));
  const body = table.createTBody();
  around.rows.forEach((row, y) => {
    const line = body.insertRow();
    line.append(make("th", { scope: "row" }, `${down} ${row}`));
    around.columns.forEach((_, x) => {
      const found = around.candidate[y][x], expected = around.reference[y][x];
      const cell = make("td", {}, numberText(found));
      if (found !== expected) {
        cell.className = "ect-differs";
        cell.append(make("span", { class: "ect-expected" }, ` (${numberText(expected)})`));
      }
      line.append(cell);
    });
  });
  scroll.append(table);
  return scroll;
}

function render({ model, el }) {
  const box = root(el, "ect-ladder", "verdict");

  function draw() {
    const rungs = model.get("rungs"), location = model.get("location"), around = model.get("around");
    const parts = [make("div", { class: "ect-headline", role: "status" }, model.get("headline") || "not judged yet")];
    const note = model.get("note");
    if (note) parts.push(make("div", { class: "ect-note" }, note));
    if (rungs.length) {
      const list = make("ol");
      list.append(...rungs.map(rungOf));
      parts.push(list);
    }
    if (location.layer) {
      const where = make("div", { class: "ect-where" });
      where.append(make("div", {}, location.text));
      const button = make("button", { type: "button", class: "ect-button ect-choose-layer" }, `Choose layer ${location.layer}`);
      button.addEventListener("click", () => {
        choose(model, { layer: location.layer });
        // a new layer forgets what was chosen inside the old one
        choose(model, { image: location.image, channel: location.channel, element: location.element });
      });
      where.append(button);
      if (around.rows) where.append(codesOf(around));
      parts.push(where);
    }
    box.replaceChildren(...parts);
  }

  const end = watch(model, ["rungs", "headline", "location", "around", "note"], draw);
  const mark = () => {
    const chosen = model.get("layer") !== "" && model.get("layer") === model.get("location").layer;
    box.querySelector(".ect-choose-layer")?.setAttribute("aria-pressed", String(chosen));
  };
  const endMark = watch(model, ["layer", "location"], () => queueMicrotask(mark));
  return () => { end(); endMark(); };
}

export default { render };
