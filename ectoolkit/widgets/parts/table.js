// A table whose rows are sorted, filtered and chosen.
const FILTER_FROM = 8;  // fewer rows are seen at a glance
const ALL = 120;  // up to so many rows all stand in the page; of more only those in sight
const LONG = 24;  // letters, from which on a text may be cut
const SPARE = 10;  // rows beyond what is in sight, above and below
const STEPS = 8;  // shades, as many as table.css has

function cellText(value, numeric) {
  if (value === null) return "";
  if (numeric) return numberText(value);
  return value === true ? "yes" : value === false ? "no" : String(value);
}

function compare(a, b, numeric) {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  if (numeric) return Number(a) - Number(b) || 0;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function render({ model, el }) {
  let column = -1, direction = 1, wanted = "";
  let shown = [], texts = [], active = -1, rowHeight = 24;  // active: place in shown of the row that has the focus
  const box = root(el, "ect-table");
  const bar = make("div", { class: "ect-table-bar" });
  const filter = make("input", { type: "search", placeholder: "filter rows", "aria-label": "filter rows" });
  const count = make("span", { role: "status" });
  const scroll = make("div", { class: "ect-table-scroll", role: "region" });
  const table = make("table"), caption = make("caption"), widths = make("colgroup"), head = make("thead");
  const body = make("tbody");
  table.append(caption, widths, head, body);
  scroll.append(table);
  bar.append(filter, count);
  box.append(bar, scroll);
  filter.addEventListener("input", () => { wanted = filter.value.toLowerCase(); arrange(); });
  scroll.addEventListener("scroll", () => requestAnimationFrame(() => {
    table.classList.toggle("ect-aside", scroll.scrollLeft > 0);
    fill(false);
  }), { passive: true });

  const chooses = () => model.get("chooses");
  const keyOf = (index) => chooses() === "image" ? index : model.get("rows")[index][0];
  const chosenPlace = () => {
    const name = chooses();
    if (!name) return -1;
    const key = model.get(name);
    return key === "" || key === -1 ? -1 : shown.findIndex((index) => keyOf(index) === key);
  };

  function sortBy(index) {
    if (column !== index) { column = index; direction = 1; }
    else if (direction === 1) direction = -1;
    else { column = -1; direction = 1; }
    header();
    arrange();
    head.querySelectorAll("button")[index].focus();
  }

  function header() {
    const row = make("tr", { "aria-rowindex": 1 });
    model.get("headings").forEach(([label, unit], index) => {
      const sorted = column !== index ? "none" : direction > 0 ? "ascending" : "descending";
      const cell = make("th", { scope: "col", "aria-sort": sorted });
      if (model.get("numeric")[index]) cell.className = "ect-number";
      const button = make("button", { type: "button", title: `${model.get("columns")[index]}: sort` }, label);
      if (unit) button.append(make("span", { class: "ect-unit" }, ` ${unit}`));
      button.append(make("span", { "aria-hidden": "true" }, { none: "", ascending: " ▲", descending: " ▼" }[sorted]));
      button.addEventListener("click", () => sortBy(index));
      cell.append(button);
      row.append(cell);
    });
    head.replaceChildren(row);
  }

  // All new: texts and widths, once for each table.
  function draw() {
    const numeric = model.get("numeric"), rows = model.get("rows"), headings = model.get("headings");
    if (column >= headings.length) column = -1;
    texts = rows.map((row) => row.map((value, index) => cellText(value, numeric[index])));
    const wide = headings.map(([label, unit], index) => {
      const longest = texts.reduce((most, row) => Math.max(most, row[index].length), label.length + unit.length + 3);
      return Math.min(longest, 32) + 4;
    });
    widths.replaceChildren(...wide.map((letters) => make("col", { style: `width: ${letters}ch` })));
    table.style.minWidth = `${wide.reduce((sum, letters) => sum + letters, 0)}ch`;
    caption.textContent = model.get("caption");
    scroll.setAttribute("aria-label", model.get("caption") || "table");
    bar.hidden = rows.length < FILTER_FROM;
    box.classList.toggle("ect-empty", !headings.length);
    if (chooses()) table.setAttribute("role", "grid"); else table.removeAttribute("role");
    if (chooses() && rows.length) scroll.removeAttribute("tabindex"); else scroll.setAttribute("tabindex", "0");
    header();
    arrange();
  }

  // Which rows, in which order.
  function arrange() {
    const rows = model.get("rows"), numeric = model.get("numeric");
    shown = rows.map((_, index) => index);
    if (wanted) shown = shown.filter((index) => texts[index].some((text) => text.toLowerCase().includes(wanted)));
    if (column >= 0) {
      shown.sort((one, other) => {
        const a = rows[one][column], b = rows[other][column], order = compare(a, b, numeric[column]);
        return a === null || b === null ? order : order * direction;  // empty cells stay last
      });
    }
    const total = rows.length === 1 ? "1 row" : `${rows.length} rows`;
    count.textContent = shown.length === rows.length ? total : `${shown.length} of ${total}`;
    table.setAttribute("aria-rowcount", shown.length + 1);
    active = -1;
    fill(true);
  }

  function rowOf(place, chosen) {
    const index = shown[place], numeric = model.get("numeric"), shades = model.get("shades");
    const row = make("tr", { "aria-rowindex": place + 2, "data-place": place });
    if (chooses()) {
      row.setAttribute("aria-selected", String(place === chosen));
      row.tabIndex = place === (active >= 0 ? active : Math.max(chosen, 0)) ? 0 : -1;
    }
    model.get("rows")[index].forEach((value, position) => {
      const cell = make("td", {}, texts[index][position]);
      if (numeric[position]) cell.className = "ect-number";
      const shade = shadeOf(value, shades[position] ?? []);
      if (shade) {
        const step = Math.round(shade.strength * STEPS);  // a class each: styles of their own made scrolling slow
        if (step) cell.classList.add(`ect-${shade.warn ? "warn" : "size"}-${step}`);
      }
      if (texts[index][position].length > LONG) {
        cell.classList.add("ect-long");
        cell.title = texts[index][position];
      }
      row.append(cell);
    });
    return row;
  }

  // Stands for rows that are out of sight.
  const spacer = () => {
    const row = make("tr", { "aria-hidden": "true", class: "ect-spacer" });
    row.append(make("td"));
    return row;
  };
  const before = spacer(), after = spacer();

  function resize(row, rows) {
    row.hidden = !rows;
    row.firstChild.colSpan = Math.max(1, model.get("columns").length);
    row.firstChild.style.height = `${rows * rowHeight}px`;
  }

  let filled = [0, 0];
  // The rows in sight, and some more; nothing is done where they stand already.
  function fill(anew) {
    let first = 0, last = shown.length;
    if (shown.length > ALL) {
      const begin = Math.floor(scroll.scrollTop / rowHeight), seen = Math.ceil((scroll.clientHeight || 300) / rowHeight);
      if (!anew && filled[0] <= begin && begin + seen <= filled[1]) return;
      first = Math.max(0, begin - SPARE);
      last = Math.min(shown.length, begin + seen + SPARE);
    } else if (!anew) return;
    const focused = body.contains(document.activeElement), chosen = chosenPlace();
    if (anew) body.replaceChildren(before, after);
    const known = new Set();
    for (const row of body.querySelectorAll("tr[data-place]")) {
      const place = Number(row.dataset.place);
      if (place < first || place >= last) row.remove(); else known.add(place);
    }
    const above = before.nextSibling;
    for (let place = first; place < last; place += 1) {
      if (known.has(place)) continue;
      body.insertBefore(rowOf(place, chosen), known.size && place < filled[0] ? above : after);
    }
    filled = [first, last === shown.length ? Infinity : last];
    const row = body.querySelector("tr[data-place]");
    if (anew && row?.offsetHeight && shown.length > ALL) rowHeight = row.offsetHeight;
    resize(before, first);
    resize(after, shown.length - last);
    if (focused && active >= 0 && document.activeElement !== rowAt(active)) rowAt(active)?.focus({ preventScroll: true });
  }

  const rowAt = (place) => body.querySelector(`tr[data-place="${place}"]`);

  function bringIntoSight(place) {
    const top = shown.length > ALL ? place * rowHeight : (rowAt(place)?.offsetTop ?? 0) - head.offsetHeight;
    const room = scroll.clientHeight - head.offsetHeight - rowHeight;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (top > scroll.scrollTop + room) scroll.scrollTop = top - room;
    fill(false);
  }

  function mark() {
    const chosen = chosenPlace();
    if (chosen >= 0 && active !== chosen) { active = chosen; bringIntoSight(chosen); }
    for (const row of body.querySelectorAll("tr[data-place]")) {
      const place = Number(row.dataset.place);
      row.setAttribute("aria-selected", String(place === chosen));
      row.tabIndex = place === Math.max(active, 0) ? 0 : -1;
    }
  }

  function go(place) {
    active = Math.min(shown.length - 1, Math.max(0, place));
    bringIntoSight(active);
    rowAt(active)?.focus({ preventScroll: true });
    choose(model, { [chooses()]: keyOf(shown[active]) });
  }

  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-place]");
    if (row && chooses()) go(Number(row.dataset.place));
  });
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr[data-place]");
    if (!row || !chooses()) return;
    const place = Number(row.dataset.place), page = Math.max(1, Math.floor(scroll.clientHeight / rowHeight) - 1);
    const to = {
      ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page, Home: 0,
      End: shown.length - 1, Enter: place, " ": place,
    }[event.key];
    if (to !== undefined) { event.preventDefault(); go(to); }
    else if (event.key === "Escape") choose(model, { [chooses()]: chooses() === "layer" ? "" : -1 });
  });

  const ends = [
    watch(model, ["columns", "headings", "numeric", "rows", "shades", "caption", "chooses"], draw),
    watch(model, ["layer", "channel", "image"], () => { if (chooses()) mark(); }),
  ];
  return () => ends.forEach((end) => end());
}

export default { render };
