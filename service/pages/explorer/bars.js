// Contributions of features to a score as bars: to the right they raise the score, to the left they lower it.
import { element } from "../common.js";
import { meaning } from "./words.js";

const signed = number => `${number > 0 ? "+" : "−"}${Math.abs(number).toFixed(2)}`;

/** The largest contribution of features, to scale bars. */
export function largest(features) {
  return Math.max(1e-9, ...features.map(feature => Math.abs(feature.contribution)));
}

/** A list with a bar for each feature, and what the feature means. scale: the contribution that fills a side. */
export function bars(features, scale) {
  return element("ul", { class: "bars" }, ...features.map(({ name, value, contribution }) => {
    const share = `${Math.min(100, 100 * Math.abs(contribution) / scale) / 2}%`;
    const words = meaning(name);
    return element("li", { title: `${name} = ${value.toFixed(3)}: ${words}` },
      element("span", { class: "feature" }, element("code", {}, name), element("span", { class: "soft small" }, ` ${words}`)),
      element("span", { class: "bar" }, element("i", { class: contribution < 0 ? "lowers" : "raises", style: { "--share": share } })),
      element("span", { class: "amount" }, signed(contribution)));
  }));
}
