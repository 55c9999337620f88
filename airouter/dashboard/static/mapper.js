// The mapper (POST /map): its last minute, against the thresholds of its alerts.

import { decimal, ms, percent } from "./format.js";
import { tile } from "./overview.js";

const LATE_MS = { warn: 200, bad: 250 };
const MOST_FALLBACKS = 0.1;
const FEWEST_VALID = 0.995;

export function onLive({ mapper }) {
  const { p95_ms: p95, fallback_share: fallbacks, schema_valid_share: valid } = mapper;
  tile("mapper-rate", decimal(mapper.requests_per_s), "in the last minute");
  tile("mapper-fallbacks", percent(fallbacks), "mapped by the rules instead of the model",
    fallbacks > MOST_FALLBACKS ? "warn" : null);
  tile("mapper-valid", percent(valid), valid === null ? "no model was asked"
    : "of the model's outputs", valid !== null && valid < FEWEST_VALID ? "bad" : null);
  tile("mapper-p95", ms(p95), "per mapping",
    p95 > LATE_MS.bad ? "bad" : p95 > LATE_MS.warn ? "warn" : null);
}
