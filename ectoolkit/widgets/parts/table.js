// A table whose rows are sorted, filtered and chosen.
const FILTER_FROM = 8;  // fewer rows are seen at a glance
const ALL = 120;  // up to so many rows all stand in the page; of more only those in sight
const LONG = 24;  // letters, from which on a text may be cut
const SPARE = 10;  // rows beyond what is in sight, above and below
const STEPS = 8;  // shades, as many as table.css has

function cellText(value) {
  if (value === null) return "";
  return value === true ? "yes" : value === false ? "no" : String(value);
}

function compare(a, b, numeric) {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  if (numeric) return Number(a) - Number(b) || 0;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function render({ model, el }) {
  let column = -1, direction = 1, wanted = "";
  let shown = [], texts = [], written = [], active = -1, unseen = true, rowHeight = 24;  // active: place in shown of the row that has the focus
  const box = root(el, "ect-table");
  const bar = make("div", { class: "ect-table-bar" });
  const filter = make("input", { type: "search", placeholder: "filter rows", "aria-label": "filter rows" });
  const count = make("span", { role: "status" }), meaning = make("span", { class: "ect-table-meaning" });
  const frame = make("div", { class: "ect-table-frame" }), scroll = make("div", { class: "ect-table-scroll", role: "region" });
  const table = make("table"), caption = make("caption"), widths = make("colgroup"), head = make("thead");
  const body = make("tbody");
  table.append(caption, widths, head, body);
  scroll.append(table);
  bar.append(filter, count, meaning);
  frame.append(scroll);
  box.append(bar, frame);
  filter.addEventListener("input", () => { wanted = filter.value.toLowerCase(); arrange(); });
  scroll.addEventListener("scroll", () => requestAnimationFrame(() => {
    table.classList.toggle("ect-aside", scroll.scrollLeft > 0);
    hint();
    fill(false);
  }), { passive: true });
  // A shadow at the right edge tells that columns go on.
  const hint = () => frame.classList.toggle("ect-more", scroll.scrollLeft + scroll.clientWidth < scroll.scrollWidth - 4);

  const chooses = () => model.get("chooses");
  const any = () => Boolean(model.get("live").layer) || Object.keys(model.get("stale")).length > 0;
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
    written = headings.map(([, unit], index) => numeric[index] ? columnText(rows.map((row) => row[index]), unit) : cellText);
    texts = rows.map((row) => row.map((value, index) => written[index](value)));
    // a heading takes two lines where that saves room
    const wide = headings.map(([label, unit], index) => {
      const words = `${label} ${unit}`.trim().split(" "), half = Math.ceil((label.length + unit.length + 1) / 2);
      const least = Math.max(half, ...words.map((word) => word.length)) + 3;
      const letters = Math.min(texts.reduce((most, row) => Math.max(most, row[index].length), least), 32);
      return numeric[index] ? letters + 4 : Math.ceil(letters * 0.9) + 3;  // most letters are narrower than a digit
    });
    explain();
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
    hint();
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
    const index = shown[place], numeric = model.get("numeric"), shades = model.get("shades"), spared = model.get("plain")[index] ?? [];
    const row = make("tr", { "aria-rowindex": place + 2, "data-place": place });
    if (chooses()) {
      row.setAttribute("aria-selected", String(place === chosen));
      row.tabIndex = place === (active >= 0 ? active : Math.max(chosen, 0)) ? 0 : -1;
    }
    model.get("rows")[index].forEach((value, position) => {
      const cell = make("td", {}, texts[index][position]);
      if (numeric[position]) cell.className = "ect-number";
      const shade = spared.includes(position) ? null : shadeOf(value, shades[position] ?? []);
      if (shade) {
        const step = Math.round(shade.strength * STEPS);  // a class each: styles of their own made scrolling slow
        if (step) cell.classList.add(`ect-${shade.warn ? "warn" : "size"}-${step}`);
      }
      if (texts[index][position].length > LONG) {
        cell.classList.add("ect-long");
        cell.title = texts[index][position];
        if (!position) cell.replaceChildren(make("bdi", { dir: "ltr" }, cell.textContent));
      }
      row.append(cell);
    });
    if (any()) news([row]);
    return row;
  }

  // Stands for rows that are out of sight.
  const spacer = () => {
    const row = make("tr", { "aria-hidden": "true", class: "ect-spacer" });
    row.append(make("td"));
    return row;
  };
  const above = spacer(), below = spacer();

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
    if (anew) body.replaceChildren(above, below);
    const known = new Set();
    for (const row of body.querySelectorAll("tr[data-place]")) {
      const place = Number(row.dataset.place);
      if (place < first || place >= last) row.remove(); else known.add(place);
    }
    const next = above.nextSibling;
    for (let place = first; place < last; place += 1) {
      if (known.has(place)) continue;
      body.insertBefore(rowOf(place, chosen), known.size && place < filled[0] ? next : below);
    }
    filled = [first, last === shown.length ? Infinity : last];
    const row = body.querySelector("tr[data-place]");
    if (anew && row?.offsetHeight && shown.length > ALL) rowHeight = row.offsetHeight;
    resize(above, first);
    resize(below, shown.length - last);
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

  // --- what a change at work does to the numbers -------------------------------------------------------------------

  // A row's own numbers while a handle moves, and marks on what was measured before the change.
  function news(rows) {
    const live = model.get("live"), stale = model.get("stale"), columns = model.get("columns"), all = model.get("rows");
    for (const row of rows) {
      const index = shown[Number(row.dataset.place)], name = all[index]?.[0], old = stale[name] ?? [];
      const mine = live.layer === name ? live.values ?? {} : {};
      columns.forEach((column, position) => {
        const cell = row.cells[position], moves = column in mine;
        const text = moves ? written[position](mine[column]) : texts[index][position];
        if (cell.textContent !== text) cell.textContent = text;
        cell.classList.toggle("ect-live", moves);
        cell.classList.toggle("ect-old", !moves && old.includes(column));
      });
    }
  }

  let marked = [];  // the layers whose rows show news
  const told = {};
  function renew() {
    const stale = model.get("stale"), live = model.get("live").layer;
    const names = [...Object.keys(stale), ...(live ? [live] : [])];
    // while a handle moves only its own row changes
    const same = told.stale === stale && live === told.live, touched = new Set(same ? [live] : [...names, ...marked]);
    [marked, told.stale, told.live] = [names, stale, live];
    news([...body.querySelectorAll("tr[data-place]")].filter((row) => touched.has(model.get("rows")[shown[row.dataset.place]]?.[0])));
    explain();
  }

  function explain() {
    const shades = model.get("shades"), worse = shades.some((shade) => shade[2]);
    const shaded = shades.some((shade) => shade.length) ? `shaded: ${worse ? "worse" : "more"}` : "";
    meaning.textContent = Object.keys(model.get("stale")).length ? "↻ stale until measured again" : shaded;
  }

  const ends = [
    whenResized(scroll, () => {
      hint();
      if (unseen) bringIntoSight(Math.max(0, chosenPlace()));  // what was chosen before there was room to scroll in
      unseen = false;
    }),
    watch(model, ["columns", "headings", "numeric", "rows", "plain", "shades", "caption", "chooses"], draw),
    watch(model, ["layer", "channel", "image"], () => { if (chooses()) mark(); }),
    watch(model, ["live", "stale"], renew),
  ];
  return () => ends.forEach((end) => end());
}

export default { render };
