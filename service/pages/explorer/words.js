// Words for figures: ages, dates, and what each feature of the ranker means (docs/features.md).
const UNITS = [[31557600, "y"], [86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

const FEATURES = [
  [/^tower_gap/, "less than the best match"],
  [/^tower_rank/, "place by the embeddings"],
  [/^tower/, "match of the two embeddings"],
  [/^covisit_share/, "share of the most votes"],
  [/^covisit_rank/, "place by those votes"],
  [/^covisit/, "done soon after the history"],
  [/^follow/, "done right after the history"],
  [/^ease_rank/, "place by EASE"],
  [/^ease/, "goes together with the history"],
  [/^like_best/, "closest to the history"],
  [/^like_mean/, "mean similarity to the history"],
  [/^like_/, "similar to the history"],
  [/^popularity_all/, "taken ever"],
  [/^popularity_30d/, "taken in 30 days"],
  [/^popularity_7d/, "taken in 7 days"],
  [/^popularity_decayed/, "taken lately, half-life 7 days"],
  [/^popularity_24h/, "events in 24 hours"],
  [/^popularity_1h/, "events in an hour"],
  [/^popularity_10m/, "events in 10 minutes"],
  [/^popularity_rank/, "place by popularity"],
  [/^popularity/, "how often it was taken"],
  [/^momentum/, "popularity of 7 days against 30"],
  [/^age/, "days since it was first taken"],
  [/content_affinity$/, "words and categories of the history"],
  [/^repeat/, "it occurs in the history"],
  [/^history_length/, "number of items in the history"],
  [/^wait$/, "time since the newest event"],
  [/^gap$/, "time between the newest two events"],
  [/^lift_/, "taken more often at this time or in this context"],
  [/^own_/, "the item's own value in this column"],
  [/^gap_/, "difference to the history's mean in this column"],
  [/^from_/, "the candidate source that proposed it"],
];

/** What a feature means; empty for a feature that is newer than this table. */
export function meaning(feature) {
  return (FEATURES.find(([names]) => names.test(feature)) || ["", ""])[1];
}

/** An age in seconds, such as "3 h". */
export function age(seconds) {
  const [size, unit] = UNITS.find(([size]) => seconds >= size) || [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
}

/** The time of an event: its age within 30 days, else the day. */
export function when(timestamp) {
  const seconds = Date.now() / 1000 - timestamp;
  return seconds < 30 * 86400 ? `${age(Math.max(0, seconds))} ago` : new Date(1000 * timestamp).toISOString().slice(0, 10);
}

/** The freshness of an answer in words; empty if the answer has none. */
export function freshness({ model, list, trending, event } = {}) {
  const parts = [["model", model], ["list", list], ["trending items", trending], ["newest event", event]];
  const known = parts.filter(([, seconds]) => seconds !== null && seconds !== undefined);
  return known.length ? `Made from: ${known.map(([part, seconds]) => `${part} ${age(seconds)} old`).join(", ")}` : "";
}

/** The title of an item; the id of an item without one. */
export function nameOf(item) {
  return String(item.title || item.item_id);
}

/** A number and its noun. */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
