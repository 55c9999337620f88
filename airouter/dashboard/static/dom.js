// Build and update DOM nodes in place. Data is only ever put in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

// h("p", { class: "hint", on: { click: f } }, "text", node, null): an element.
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else attribute(node, name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) attribute(node, name, value);
  node.append(...children);
  return node;
}

// Set an attribute where it differs; null and false remove it, true sets it empty.
export function attribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

// Set the text where it differs, so that nothing is laid out or selected anew.
export function put(node, text) {
  const shown = text === null || text === undefined ? "" : String(text);
  if (node.textContent !== shown) node.textContent = shown;
  return node;
}

// Set one CSS property through the CSSOM, which the content security policy allows.
export function style(node, property, value) {
  if (node.style.getPropertyValue(property) !== value) node.style.setProperty(property, value);
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

export const byId = (id) => document.getElementById(id);

const built = new WeakMap();

// What `build` made inside this node, on the first call; the same object on later ones.
export function parts(node, build) {
  let made = built.get(node);
  if (!made) {
    made = build(node);
    built.set(node, made);
  }
  return made;
}

const lists = new WeakMap();

// Make the children of `parent` follow `items`, with one node for each key that is kept as long as
// its item is there: focus, selection and scroll position survive an update.
export function keyed(parent, items, keyOf, make, update) {
  const old = lists.get(parent) ?? new Map();
  const now = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    if (now.has(key)) continue;
    const node = old.get(key) ?? make(item);
    now.set(key, node);
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const [key, node] of old) if (!now.has(key)) node.remove();
  lists.set(parent, now);
}

const ICONS = {
  good: ["M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Z", "M5 8.2l2.1 2.1L11.2 6"],
  bad: [
    "M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3Z",
    "M5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6",
  ],
  warn: ["M8 1.6 15 14H1Z", "M8 6.2v3.6M8 11.6v.4"],
  idle: ["M2 8h.01M2 2.5h12v11H2Z", "M5 8h6"],
};

// One of four states as a shape (circle, octagon, triangle, square), so that colour is not all.
export function icon(state) {
  const node = svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" });
  return setIcon(node, state);
}

export function setIcon(node, state) {
  if (node.dataset.state === state) return node;
  node.dataset.state = state;
  const [shape, sign] = ICONS[state];
  node.replaceChildren(
    svg("path", { class: "icon-shape", d: shape }),
    svg("path", { class: "icon-sign", d: sign }),
  );
  return node;
}
