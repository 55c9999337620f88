// Numbers, durations and times as people read them. "—" stands for unknown.

export const UNKNOWN = "—";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const two = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

const known = (value) => typeof value === "number" && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : UNKNOWN);

export const decimal = (value) =>
  known(value) ? (Math.abs(value) < 10 ? one : whole).format(value) : UNKNOWN;

// Milliseconds: "0.4 ms", "12 ms", "3.4 s", "2 min 5 s".
export function ms(value) {
  if (!known(value)) return UNKNOWN;
  if (value < 0) return `−${ms(-value)}`;
  if (value < 10) return `${(value < 0.1 ? two : one).format(value)} ms`;
  if (value < 1000) return `${whole.format(value)} ms`;
  return seconds(value / 1000);
}

export function seconds(value) {
  if (!known(value)) return UNKNOWN;
  if (value < 0) return `−${seconds(-value)}`;
  if (value < 100) return `${value < 10 ? one.format(value) : whole.format(value)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(value % 60)} s`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${one.format(value / 86400)} days`;
}

// A share of 1 in per cent: "0.4 %", "41 %", "99.95 %".
export function percent(value) {
  if (!known(value)) return UNKNOWN;
  const of100 = value * 100;
  const far = Math.abs(of100);
  if (far === 0 || far === 100) return `${whole.format(of100)} %`;
  if (far > 99 && far < 100) return `${two.format(Math.floor(of100 * 100) / 100)} %`;
  return `${(far < 10 ? one : whole).format(of100)} %`.replace("-", "−");
}

export const burn = (value) =>
  known(value) ? `${(value < 10 ? two : whole).format(value)}×` : UNKNOWN;

export const probability = (value) => (known(value) ? value.toFixed(2) : UNKNOWN);

export function money(value, currency) {
  if (!known(value)) return UNKNOWN;
  const options = { style: "currency", currency: currency || "USD", minimumFractionDigits: 2 };
  if (Math.abs(value) < 1) options.maximumFractionDigits = 4;
  try {
    return new Intl.NumberFormat("en", options).format(value);
  } catch {
    return `${two.format(value)} ${currency}`; // no currency that the browser knows
  }
}

const clockTime = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const clock = new Intl.DateTimeFormat("en-GB", clockTime);
const dated = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", ...clockTime });

// Seconds since 1970 in local time; with the date unless it is today.
export function time(at) {
  if (!known(at)) return UNKNOWN;
  const date = new Date(at * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return (today ? clock : dated).format(date);
}

export const iso = (at) => (known(at) ? new Date(at * 1000).toISOString() : "");

export function windowWords(s) {
  const words = { 900: "15 minutes", 3600: "hour", 86400: "24 hours", 604800: "7 days" };
  return `the last ${words[s] ?? seconds(s)}`;
}

export const plural = (n, word, many = `${word}s`) => `${count(n)} ${n === 1 ? word : many}`;
