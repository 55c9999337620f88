// A small line without axes. It is decoration beside a number that says the same in text.

import { attribute, svg } from "./dom.js";

const WIDTH = 100;
const HEIGHT = 28;

// Args: holder: an element; options.floor: the lowest value of the scale (default 0).
// Returns { update(values) }; null values are gaps.
export function newSpark(holder, { floor = 0 } = {}) {
  const line = svg("path", { class: "spark-line" });
  const area = svg("path", { class: "spark-area" });
  const zero = svg("path", { class: "spark-zero" });
  holder.replaceChildren(svg("svg", {
    class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
    "aria-hidden": "true", focusable: "false",
  }, area, zero, line));
  return {
    update(values) {
      const known = values.filter((value) => value !== null);
      if (known.length < 2) {
        for (const path of [line, area, zero]) attribute(path, "d", "");
        return;
      }
      const low = Math.min(floor, ...known);
      const high = Math.max(...known, low + 1e-9);
      const x = (i) => ((i / (values.length - 1)) * WIDTH).toFixed(1);
      const y = (value) => (HEIGHT - 2 - ((value - low) / (high - low)) * (HEIGHT - 4)).toFixed(1);
      let d = "";
      let filled = "";
      let from = null;
      values.forEach((value, i) => {
        if (value === null) return;
        const gap = i === 0 || values[i - 1] === null;
        if (gap) {
          if (from !== null) filled += closing(from);
          from = x(i);
          filled += `M${x(i)} ${y(value)}`;
          d += `M${x(i)} ${y(value)}h.01`; // a lone value is a dot
        } else {
          d += `L${x(i)} ${y(value)}`;
          filled += `L${x(i)} ${y(value)}`;
        }
        if (i === values.length - 1 || values[i + 1] === null) filled += `V${y(low)}`;
      });
      if (from !== null) filled += closing(from);
      attribute(line, "d", d);
      attribute(area, "d", filled);
      attribute(zero, "d", low < 0 ? `M0 ${y(0)}H${WIDTH}` : "");
    },
  };
}

const closing = (from) => `H${from}Z`;
