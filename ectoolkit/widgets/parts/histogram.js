// A histogram on a logarithmic scale, its grid, two handles, and a strip with each channel's range.
const LEFT = 46, RIGHT = 14, TOP = 16, PLOT = 150, AXIS = 24, STRIP = 64;
const EVERY = 40;  // milliseconds between two messages of a drag
const NOISES = [["rounding_db", "rounding"], ["clipping_db", "clipping"], ["weights_db", "weights"]];
const PATIENCE = 700;  // milliseconds without a key until a handle counts as let go

function render({ model, el }) {
  const box = root(el, "ect-histogram", "distribution and clip range");
  const title = make("div", { class: "ect-title ect-histogram-title" }), lines = make("div", { class: "ect-unit ect-histogram-lines" }), note = make("div", { class: "ect-note" });
  const canvas = make("div", { class: "ect-histogram-canvas" }), costs = make("div", { class: "ect-costs", role: "status" });
  const split = make("div", { class: "ect-noise", "aria-hidden": "true" });
  box.append(title, lines, canvas, split, costs, note);
  const picture = svg("svg", { role: "group", "aria-label": "histogram" });
  canvas.append(picture);
  let held = null, before = [], timer = null, x = null, handles = [], cover = [], codes = null, subject = "";

  const ends = () => held?.ends ?? model.get("ends");
  const tell = throttle((found) => choose(model, { ends: found }), EVERY);

  // --- drawing ---------------------------------------------------------------------------------------------------

  function scaleOf(width) {
    const shares = array(model, "shares", "float32"), [scale, zero, least, most] = model.get("grid");
    const points = [model.get("begin"), model.get("begin") + model.get("width") * shares.length, ...ends(), 0];
    if (scale !== undefined) points.push(scale * (least - zero), scale * (most - zero));
    const low = Math.min(...points), high = Math.max(...points), room = (high - low || 1) * 0.04;
    const begin = low - room, span = high - low + 2 * room || 1, place = width - LEFT - RIGHT;
    return {
      low: begin, high: begin + span, width,
      to: (value) => LEFT + (value - begin) / span * place, from: (pixel) => begin + (pixel - LEFT) / place * span,
    };
  }

  function draw() {
    const shares = array(model, "shares", "float32"), empty = !shares.length;
    title.textContent = model.get("caption");
    note.textContent = empty && !model.get("note") ? "Choose a layer to see its distribution." : model.get("note");
    note.hidden = !note.textContent;
    title.hidden = !title.textContent;
    canvas.hidden = costs.hidden = lines.hidden = split.hidden = empty;
    if (empty) return;
    const focused = handles.findIndex((handle) => handle === document.activeElement);
    const stripFocused = document.activeElement?.matches(".ect-strip") && picture.contains(document.activeElement);
    if (!held) x = scaleOf(widthOf(canvas, 400));
    const channels = array(model, "channels", "float32"), strip = channels.length > 3 ? STRIP : 0;
    picture.setAttribute("viewBox", `0 0 ${x.width} ${TOP + PLOT + AXIS + strip}`);
    picture.setAttribute("height", TOP + PLOT + AXIS + strip);
    codes = gridPart();
    picture.replaceChildren(codes, bars(shares), axis(), ...(strip ? [channelStrip(channels)] : []), clip());
    if (focused >= 0) handles[focused]?.focus({ preventScroll: true });
    if (stripFocused) picture.querySelector(".ect-strip")?.focus({ preventScroll: true });
    tellCosts();
  }

  function bars(shares) {
    const found = shares.filter((share) => share > 0);
    const floor = Math.floor(Math.log10(found.reduce((least, share) => Math.min(least, share), 1))) || -1;
    const height = (share) => share > 0 ? PLOT * (1 - Math.log10(share) / floor) : 0;
    const begin = model.get("begin"), width = model.get("width"), bottom = TOP + PLOT;
    let path = `M${x.to(begin)} ${bottom}`;
    shares.forEach((share, index) => {
      path += `V${(bottom - height(share)).toFixed(1)}H${x.to(begin + (index + 1) * width).toFixed(1)}`;
    });
    const group = svg("g");
    for (let power = 0; power >= floor; power -= Math.max(1, Math.round(-floor / 4))) {
      const y = TOP + PLOT * (power / floor);
      group.append(svg("line", { class: "ect-rule", x1: LEFT, x2: x.width - RIGHT, y1: y, y2: y }));
      group.append(svg("text", { x: LEFT - 5, y: y + 4, "text-anchor": "end" }, power ? `10${superscript(power)}` : "1"));
    }
    group.append(svg("path", { class: "ect-bars", d: `${path}V${bottom}Z` }));
    return group;
  }

  const superscript = (power) => `⁻${[...String(-power)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`;

  // The codes: one line each where there is room, else every second, fourth, ...
  function gridPart() {
    const group = svg("g"), [scale, zero, least, most] = model.get("grid");
    lines.textContent = "share of values, logarithmic";
    if (scale === undefined) return group;
    const place = (code) => x.to(scale * (code - zero)), count = most - least + 1;
    const first = place(least - 0.5), last = place(most + 0.5);
    group.append(svg("rect", { class: "ect-coded", x: first, y: TOP, width: Math.max(0, last - first), height: PLOT }));
    let every = 1;
    while (every * (place(1) - place(0)) < 5 && every < count) every *= 2;
    let path = "";
    for (let code = Math.ceil((least - zero) / every) * every + zero; code <= most; code += every) {
      path += `M${place(code).toFixed(1)} ${TOP}v${PLOT}`;
    }
    group.append(svg("path", { class: "ect-codes", d: path }));
    const one = every === 1 ? "a line is a code" : `a line is ${every} codes`;
    lines.textContent += ` · ${count} codes of ${numberText(scale)}, zero at ${zero}; ${one}`;
    return group;
  }

  function axis() {
    const group = svg("g"), y = TOP + PLOT;
    for (const value of ticks(x.low, x.high, Math.max(4, x.width / 75))) {
      group.append(svg("line", { class: "ect-line", x1: x.to(value), x2: x.to(value), y1: y, y2: y + 4 }));
      group.append(svg("text", { x: x.to(value), y: y + 16, "text-anchor": "middle" }, numberText(value)));
    }
    group.append(svg("line", { class: "ect-line", x1: LEFT, x2: x.width - RIGHT, y1: y, y2: y }));
    return group;
  }

  function channelStrip(channels) {
    const count = channels.length / 3, top = TOP + PLOT + AXIS, y = (channel) => top + (channel + 0.5) / count * (STRIP - 4);
    const chosen = model.get("channel"), group = svg("g", {
      role: "slider", tabindex: 0, class: "ect-strip", "aria-label": "channel", "aria-orientation": "vertical",
      "aria-valuemin": -1, "aria-valuemax": count - 1, "aria-valuenow": chosen,
      "aria-valuetext": chosen < 0 ? "all channels" : channelText(channels, chosen),
    });
    let lines = "", means = "";
    for (let channel = 0; channel < count; channel += 1) {
      const [low, high, mean] = channels.subarray(3 * channel, 3 * channel + 3);
      lines += `M${x.to(low).toFixed(1)} ${y(channel).toFixed(2)}H${Math.max(x.to(high), x.to(low) + 0.5).toFixed(1)}`;
      means += `M${(x.to(mean) - 1).toFixed(1)} ${y(channel).toFixed(2)}h2`;
    }
    const thick = Math.max(0.6, 0.8 * (STRIP - 4) / count);
    group.append(svg("rect", { class: "ect-room", x: LEFT, y: top, width: x.width - LEFT - RIGHT, height: STRIP - 4 }));
    group.append(svg("path", { class: "ect-ranges", d: lines, "stroke-width": thick }));
    group.append(svg("path", { class: "ect-means", d: means, "stroke-width": thick }));
    group.append(svg("text", { x: LEFT - 5, y: top + 10, "text-anchor": "end" }, "ch 0"));
    group.append(svg("text", { x: LEFT - 5, y: top + STRIP - 5, "text-anchor": "end" }, String(count - 1)));
    if (chosen >= 0 && chosen < count) {
      const [low, high] = channels.subarray(3 * chosen, 3 * chosen + 2), at = y(chosen);
      group.append(svg("path", { class: "ect-chosen-channel", d: `M${x.to(low)} ${at}H${x.to(high)}` }));
      group.append(svg("text", { class: "ect-small", x: x.width - RIGHT, y: top + STRIP - 6, "text-anchor": "end" }, channelText(channels, chosen)));
    }
    const at = (event) => {
      const frame = picture.getBoundingClientRect();
      const share = (event.clientY - frame.top - top) / (STRIP - 4);
      return Math.min(count - 1, Math.max(0, Math.floor(share * count)));
    };
    group.addEventListener("click", (event) => choose(model, { channel: at(event) }));
    group.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
      const to = step ? model.get("channel") + step : { Home: 0, End: count - 1, Escape: -1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(model, { channel: Math.min(count - 1, Math.max(-1, to)) });
    });
    return group;
  }

  const channelText = (channels, chosen) => {
    const [low, high, mean] = channels.subarray(3 * chosen, 3 * chosen + 3);
    return `channel ${chosen}: ${numberText(low)} to ${numberText(high)}, mean ${numberText(mean)}`;
  };

  // --- handles ---------------------------------------------------------------------------------------------------

  function clip() {
    const group = svg("g"), places = ends();
    handles = cover = [];
    if (places.length !== 2) return group;
    cover = [0, 1].map(() => svg("rect", { class: "ect-cut", y: TOP, height: PLOT }));
    group.append(...cover);
    handles = [0, 1].map((side) => handleOf(side));
    group.append(...handles);
    place();
    return group;
  }

  function handleOf(side) {
    const name = side ? "largest value with a code" : "smallest value with a code";
    const handle = svg("g", { class: "ect-handle", "data-side": side, "aria-label": name });
    handle.append(svg("rect", { class: "ect-grab", x: -12, y: TOP - 4, width: 24, height: PLOT + 8 }));
    handle.append(svg("line", { y1: TOP - 2, y2: TOP + PLOT }));
    handle.append(svg("path", { d: side ? `M0 ${TOP - 4}h-9v10h9z` : `M0 ${TOP - 4}h9v10h-9z` }));
    if (!model.get("adjustable")) {
      handle.setAttribute("role", "img");
      return handle;
    }
    handle.classList.add("ect-movable");
    handle.setAttribute("role", "slider");
    handle.setAttribute("tabindex", "0");
    handle.addEventListener("pointerdown", (event) => take(event, handle, side));
    handle.addEventListener("keydown", (event) => press(event, side));
    handle.addEventListener("blur", () => { if (timer !== null) letGo(); });
    return handle;
  }

  function place() {
    const places = ends();
    handles.forEach((handle, side) => {
      handle.setAttribute("transform", `translate(${x.to(places[side]).toFixed(2)} 0)`);
      handle.setAttribute("aria-valuenow", places[side]);
      handle.setAttribute("aria-valuemin", side ? Math.min(0, places[1]) : x.low);
      handle.setAttribute("aria-valuemax", side ? x.high : Math.max(0, places[0]));
      handle.setAttribute("aria-valuetext", numberText(places[side]));
      const [from, to] = side ? [x.to(places[1]), x.width - RIGHT] : [LEFT, x.to(places[0])];
      cover[side].setAttribute("x", from);
      cover[side].setAttribute("width", Math.max(0, to - from));
    });
    tellCosts();
  }

  function move(side, value) {
    const found = [...ends()], least = model.get("width") / 4;
    found[side] = side ? Math.min(x.high, Math.max(value, found[0] < 0 ? 0 : least)) : Math.max(x.low, Math.min(value, found[1] > 0 ? 0 : -least));
    held.ends = found;
    place();
    tell(found);
  }

  function take(event, handle, side) {
    if (event.button || model.get("busy")) return;
    event.preventDefault();
    handle.focus({ preventScroll: true });
    handle.setPointerCapture(event.pointerId);
    before = [...model.get("ends")];
    held = { ends: before, moved: false, dragged: true };
    const shift = x.to(before[side]) - event.clientX;
    const slide = (next) => {
      if (!held) return;  // a key has let go or taken back, and the pointer is still down
      held.moved = true;
      move(side, x.from(next.clientX + shift));
    };
    const end = (last) => {
      handle.removeEventListener("pointermove", slide);
      for (const kind of ["pointerup", "pointercancel"]) handle.removeEventListener(kind, end);
      if (!held) return;
      if (last.type === "pointercancel" || !held.moved) takeBack();
      else letGo();
    };
    handle.addEventListener("pointermove", slide);
    for (const kind of ["pointerup", "pointercancel"]) handle.addEventListener(kind, end);
  }

  function press(event, side) {
    const scale = model.get("grid")[0] ?? model.get("width"), far = event.shiftKey ? 10 : 1;
    const step = { ArrowLeft: -far, ArrowDown: -far, ArrowRight: far, ArrowUp: far, PageDown: -10, PageUp: 10 }[event.key];
    const ending = { Home: side ? 0 : x.low, End: side ? x.high : 0 }[event.key];
    if (event.key === "Enter" && held) letGo();
    else if (event.key === "Escape" && held) takeBack();
    else if ((step !== undefined || ending !== undefined) && !model.get("busy") && !held?.dragged) {
      if (!held) { before = [...model.get("ends")]; held = { ends: before, moved: true }; }
      move(side, ending ?? held.ends[side] + step * scale);
      clearTimeout(timer);
      timer = setTimeout(letGo, PATIENCE);
    } else return;
    event.preventDefault();
  }

  function letGo() {
    const found = held?.ends;
    abandon();
    if (found) choose(model, { ends: found, settled: model.get("settled") + 1 });
  }

  function takeBack() {
    abandon();
    choose(model, { ends: before });
    draw();
  }

  // Another layer came while a handle was held, or the page is left: what was not let go is not applied.
  function abandon() {
    clearTimeout(timer);
    timer = null;
    tell.cancel();
    held = null;
  }

  // --- what it costs ---------------------------------------------------------------------------------------------

  function tellCosts() {
    const noise = model.get("noise"), places = ends(), words = [];
    if (places.length === 2) words.push(["clip", `${numberText(places[0])} to ${numberText(places[1])}`]);
    for (const [name, label] of [["sqnr_db", "SQNR"], ...NOISES]) {
      if (noise[name] !== undefined) words.push([label, Number(noise[name]) === Infinity ? "none" : `${decibels(noise[name])} dB`]);
    }
    splitNoise(noise);
    if (noise.clipped_low !== undefined) words.push(["clipped", `${percent(noise.clipped_low)} below, ${percent(noise.clipped_high)} above, of ${noise.images} ${noise.images === 1 ? "image" : "images"}`]);
    if (model.get("busy")) words.push(["", "applying…"]);
    costs.replaceChildren(...words.map(([label, value]) => {
      const one = make("span", { "data-cost": label }, label ? `${label} ` : "");
      if (NOISES.some(([, name]) => name === label)) one.prepend(make("i", { class: `ect-swatch ect-noise-${label}`, "aria-hidden": "true" }));
      one.append(make("b", {}, value));
      return one;
    }));
  }

  // Of what the noise is made: a part twice as wide is twice the power.
  function splitNoise(noise) {
    const powers = NOISES.map(([name]) => Number.isFinite(Number(noise[name] ?? NaN)) ? 10 ** (-Number(noise[name]) / 10) : 0);
    const total = powers.reduce((sum, power) => sum + power, 0);
    split.classList.toggle("ect-noise-none", !total);
    split.replaceChildren(...(total ? NOISES : []).map(([, label], index) => {
      const share = 100 * powers[index] / total, part = make("span", { class: `ect-noise-${label}` });
      part.style.width = `${share}%`;
      if (share > 14) part.append(make("b", {}, `${label} ${share.toFixed(0)} %`));
      return part;
    }));
  }

  const decibels = (value) => Number.isFinite(Number(value)) && value !== null ? Number(value).toFixed(2) : numberText(value);
  const percent = (share) => `${(100 * share).toPrecision(2)} %`;

  const stops = [
    watch(model, ["caption", "note", "shares", "begin", "width", "channels", "grid", "ends", "adjustable"], () => {
      if (held && subject !== model.get("caption")) abandon();
      subject = model.get("caption");
      if (!held || !x) draw();
      else { const fresh = gridPart(); codes.replaceWith(fresh); codes = fresh; }  // a handle that is held must stay
    }),
    watch(model, ["noise", "busy"], () => { if (x) tellCosts(); }),
    watch(model, ["channel"], () => { if (x && !held) draw(); }),
    whenResized(canvas, () => { if (!held) draw(); }),
  ];
  return () => { if (held) choose(model, { ends: before }); abandon(); stops.forEach((stop) => stop()); };
}

export default { render };
