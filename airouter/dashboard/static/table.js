// A table that is updated in place. On a narrow screen its rows are shown as cards (dashboard.css),
// which takes the roles of table elements away; they are therefore given explicitly.

import { attribute, h, keyed, put, show } from "./dom.js";

// Args:
//   holder: the element to fill.
//   caption: what the table shows; visible to screen readers only.
//   columns: [{ head, text(row) | fill(cell, row), title(row), number, rowHead,
//     wide | half (of a card) }].
//   keyOf: a row's key.
//   empty: what to say, and to do, where there is no row.
//   onOpen: called with a row that was clicked anywhere but on a link.
export function makeTable(holder, { caption, columns, keyOf, empty, onOpen }) {
  const body = h("tbody", { role: "rowgroup" });
  const heads = columns.map(({ head, number }) =>
    h("th", { scope: "col", role: "columnheader", class: number ? "number" : null }, head),
  );
  const table = h(
    "table",
    { role: "table" },
    h("caption", { class: "hidden-text" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...heads)),
    body,
  );
  const region = h(
    "div",
    { class: "table-region", role: "region", "aria-label": caption },
    table,
  );
  const scrolls = new ResizeObserver(() => { // a region that scrolls must take the focus
    const more = region.scrollWidth > region.clientWidth
      || region.scrollHeight > region.clientHeight;
    attribute(region, "tabindex", more ? "0" : null);
  });
  scrolls.observe(region);
  scrolls.observe(table);
  const nothing = h("p", { class: "empty" }, empty);
  holder.replaceChildren(region, nothing);
  show(region, false);

  const newRow = (row) => {
    const node = h("tr", { role: "row" });
    for (const column of columns) node.append(newCell(column));
    if (onOpen) {
      node.classList.add("opens");
      node.addEventListener("click", (event) => {
        if (!event.target.closest("a, button") && !String(getSelection())) onOpen(node.airouterRow);
      });
    }
    return node;
  };

  const update = (node, row) => {
    node.airouterRow = row;
    columns.forEach((column, i) => {
      const cell = node.children[i];
      const inner = cell.firstElementChild;
      if (column.fill) column.fill(inner, row);
      else put(inner, column.text(row));
      if (column.title) attribute(inner, "title", column.title(row));
    });
  };

  return {
    // `otherwise`: a sentence in place of the usual one for an empty table.
    update(rows, otherwise) {
      keyed(body, rows, keyOf, newRow, update);
      show(region, rows.length > 0);
      show(nothing, rows.length === 0);
      put(nothing, otherwise || empty);
    },
  };
}

function newCell({ head, number, rowHead, wide, half }) {
  const names = Object.entries({ number, wide, half }).filter(([, on]) => on)
    .map(([name]) => name).join(" ");
  const attributes = { "data-head": head, class: names || null };
  const inner = h("div", { class: "cell" });
  return rowHead
    ? h("th", { scope: "row", role: "rowheader", ...attributes }, inner)
    : h("td", { role: "cell", ...attributes }, inner);
}
