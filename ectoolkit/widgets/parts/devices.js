// Radio buttons, one a device, each with its state in words; and a field for a name that no list knows.
const SEEN_MS = 4000;  // Python stops reading sensors when it has not heard for some of these

function render({ model, el }) {
  const box = root(el, "ect-devices");
  const group = make("fieldset"), name = `ect-device-${Math.random().toString(36).slice(2)}`;
  group.append(make("legend", {}, model.get("description")));
  const list = make("div", { class: "ect-device-list" });
  const other = make("div", { class: "ect-device" });
  const otherRadio = make("input", { type: "radio", name, "aria-label": "another device" });
  const field = make("input", { type: "text", placeholder: "another: rpc://host:9190", "aria-label": "name of another device" });
  const otherLine = make("div", { class: "ect-device-line" });
  // those that are not ready, out of the way until somebody wants one or its reason
  const rest = make("details", { class: "ect-rest" }), restTitle = make("summary"), restList = make("div");
  rest.append(restTitle, restList);
  otherLine.append(otherRadio, field);
  other.append(otherLine);
  group.append(list, rest, other);
  box.append(group);
  const take = () => { if (field.value.trim()) choose(model, { value: field.value.trim() }); };
  field.addEventListener("change", take);
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") take(); });
  otherRadio.addEventListener("change", () => { if (field.value.trim()) take(); else field.focus(); });
  let rows = new Map();

  // A row is made once and its texts are renewed, so that the focus stays while sensors are read.
  function rowOf(device) {
    const row = make("div", { class: "ect-device", "data-device": device.name });
    const line = make("label", { class: "ect-device-line" });
    const radio = make("input", { type: "radio", name, value: device.name });
    radio.addEventListener("change", () => choose(model, { value: device.name }));
    const state = make("span", { class: "ect-device-state" }), readings = make("span", { class: "ect-readings" });
    line.append(radio, make("b", {}, device.name), state, make("span", { class: "ect-description" }), readings);
    const why = make("details", { class: "ect-why" });
    why.append(make("summary", { "aria-label": `why is ${device.name} not ready?` }, "why?"), make("div"));
    const notice = make("div", { class: "ect-note" });
    row.append(line, why, notice);
    return { row, radio, state, readings, why, notice, description: line.querySelector(".ect-description") };
  }

  function renew(parts, device) {
    const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
    put(parts.state, device.ready ? "● ready" : "○ not ready");
    parts.row.dataset.ready = String(device.ready);
    put(parts.description, device.description);
    put(parts.readings, device.readings.join(" · "));
    parts.why.hidden = !device.reason;
    put(parts.why.lastChild, device.reason);
    put(parts.notice, device.notice ? `sensors: ${device.notice}` : "");
  }

  function draw() {
    const devices = model.get("devices"), known = new Map();
    for (const device of devices) {
      const parts = rows.get(device.name) ?? rowOf(device);
      renew(parts, device);
      known.set(device.name, parts);
    }
    rows = known;
    place(list, devices.filter((device) => device.ready));
    place(restList, devices.filter((device) => !device.ready));
    const absent = devices.filter((device) => !device.ready).map((device) => device.name);
    rest.hidden = !absent.length;
    restTitle.textContent = `${absent.length} not ready: ${absent.join(", ")}`;
    mark();
  }

  // Rows that stand there already stay, and with them the focus.
  function place(where, devices) {
    const wanted = devices.map((device) => rows.get(device.name).row);
    if (wanted.length !== where.children.length || wanted.some((row, at) => where.children[at] !== row)) where.replaceChildren(...wanted);
  }

  function mark() {
    const value = model.get("value");
    for (const [key, parts] of rows) parts.radio.checked = key === value;
    if (restList.querySelector("input:checked")) rest.open = true;
    otherRadio.checked = value !== "" && !rows.has(value);
    if (otherRadio.checked && field.value !== value) field.value = value;
  }

  const ends = [watch(model, ["devices"], draw), watch(model, ["value"], mark)];
  let inSight = false;
  const tell = () => { if (inSight && !document.hidden) model.send("seen"); };
  const sight = new IntersectionObserver((entries) => {
    inSight = entries[entries.length - 1].isIntersecting;
    tell();
  });
  sight.observe(box);
  const timer = setInterval(tell, SEEN_MS);
  return () => { clearInterval(timer); sight.disconnect(); ends.forEach((end) => end()); };
}

export default { render };
