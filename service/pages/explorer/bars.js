// What tells an item from the other candidates, as bars: to the right they raise its score, to the left they lower it.
import { element } from "../common.js";
import { meaning } from "./words.js";

const signed = number => `${number > 0 ? "+" : "−"}${Math.abs(number).toFixed(2)}`;

/** The rows of `bars` for reasons in words. */
export const ofReasons = reasons => reasons.map(({ words, contribution }) =>
  ({ label: [words], hint: words, amount: contribution }));

/** The rows of `bars` for features: the name, and what the feature means. */
export const ofFeatures = features => features.map(({ name, value, relative }) => ({
  label: [element("code", {}, name), element("span", { class: "soft small" }, ` ${meaning(name)}`)],
  hint: `${name} = ${value.toFixed(3)}: ${meaning(name)}`,
  amount: relative,
}));

/** The largest amount of rows, to scale bars. */
export function largest(rows) {
  return Math.max(1e-9, ...rows.map(row => Math.abs(row.amount)));
}

/** A list with a bar for each row. scale: the amount that fills a side. */
export function bars(rows, scale) {
  return element("ul", { class: "bars" }, ...rows.map(({ label, hint, amount }) => {
    const share = `${Math.min(100, 100 * Math.abs(amount) / scale) / 2}%`;
    return element("li", { title: hint },
      element("span", { class: "feature" }, ...label),
      element("span", { class: "bar" }, element("i", { class: amount < 0 ? "lowers" : "raises", style: { "--share": share } })),
      element("span", { class: "amount" }, signed(amount)));
  }));
}
