// A line about an item in a list: its title, which opens the details, and some words.
import { element } from "../common.js";
import { nameOf } from "./words.js";

/** The title of an item, cut after three lines. */
export function titleOf(item) {
  return element("span", { class: "clamp" }, nameOf(item));
}

/** A line of a list. onChoose: called with the item. */
export function entry(item, words, onChoose) {
  return element("li", {},
    element("button", { type: "button", class: "link", onclick: () => onChoose(item) }, titleOf(item)),
    element("span", { class: "small soft" }, words));
}
