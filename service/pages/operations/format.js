// Figures as texts for people.

const UNITS = [[172800, 86400, "days"], [5400, 3600, "h"], [90, 60, "min"], [0, 1, "s"]];

/** A duration in seconds in its fitting unit, such as 12 min or 3.5 h; the words for null: "never". */
export function duration(seconds, none = "never") {
  if (seconds === null || seconds === undefined) return none;
  const [, unit, name] = UNITS.find(([least]) => Math.max(0, seconds) >= least);
  const value = Math.max(0, seconds) / unit;
  return `${value.toFixed(value < 10 && unit > 60 ? 1 : 0)} ${name}`;
}

export const ago = (at, now) => at === null || at === undefined ? "never" : `${duration(now - at)} ago`;
/** The age of what answers are made from, in seconds: the last bucket that is counted ends at 30 days. */
export const answerAge = seconds => seconds >= 2592000 ? "over 30 days" : duration(seconds, "–");
export const ms = seconds => seconds === null ? "–" : `${seconds < .01 ? +(1000 * seconds).toFixed(1) : (1000 * seconds).toFixed(0)} ms`;
export const percent = share => share === null ? "–" : `${+(100 * share).toPrecision(3)} %`;
export const rate = value => `${+value.toPrecision(value < 1 ? 2 : 3)}`;
export const count = value => value === null ? "–" : value.toLocaleString("en");
