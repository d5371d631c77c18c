// The parts beside the slates: the user's history, the search of items, and the users that the field offers.
import { $, call, element, failed, state } from "../common.js";
import { entry } from "./entry.js";
import { prefix } from "./fields.js";
import { count, when } from "./words.js";

const TYPING_MS = 200, FOUND = 10;
const MOST_CHARACTERS = 200; // of a search; an id may be longer

let requests = 0;

/** Show what a user did, the newest first. onDetails: called with the item of an event. */
export async function showHistory(user, onDetails) {
  const requestNumber = ++requests;
  if (!user) {
    $("history").replaceChildren();
    state($("history-state"), "empty", "A visitor without an id has no history.");
    return;
  }
  state($("history-state"), "loading", "Loading…");
  try {
    const found = await call("GET", `explorer/users/${encodeURIComponent(user)}`);
    if (requestNumber !== requests) return;
    $("history").replaceChildren(...found.newest.map(event => entry(event, `${event.event_type} · ${when(event.timestamp)}`, onDetails)));
    const list = found.listed ? ` · list of ${count(found.listed, "item")}, made ${when(found.listed_at)}` : "";
    const shown = found.total > found.newest.length ? `, the newest ${found.newest.length} here` : "";
    state($("history-state"), found.total ? "" : "empty",
      found.total ? `${count(found.total, "event")}${shown}${list}` : "Nothing is stored of this user: the slate is what is popular.");
  } catch (error) {
    if (requestNumber !== requests) return;
    $("history").replaceChildren();
    failed($("history-state"), error);
  }
}

/** Call `search` with the text of a field after a pause in typing; an earlier search is aborted. */
function whileTyping(field, search) {
  let timer = 0, running = new AbortController();
  const start = () => {
    running.abort();
    running = new AbortController();
    search(field.value, running.signal).catch(error => { if (error.name !== "AbortError") throw error; });
  };
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(start, TYPING_MS); });
}

const query = text => new URLSearchParams({ q: text, limit: FOUND });

/** Search items as their title is typed. */
export function searchItems(onDetails) {
  $("find").onsubmit = event => event.preventDefault();
  whileTyping($("find-text"), async (text, signal) => {
    if (!text) { $("found").replaceChildren(); state($("find-state"), ""); return; }
    state($("find-state"), "loading", "Searching…");
    try {
      const { items, more } = await call("GET", `explorer/items?${query(text)}`, null, { signal });
      const words = item => (item.available ? String(item.item_id) : `${item.item_id} · hidden`);
      $("found").replaceChildren(...items.map(item => entry(item, words(item), onDetails)));
      const found = `${count(items.length, "item")}${more ? ", the most popular; there are more" : ""}`;
      state($("find-state"), items.length ? "" : "empty", items.length ? found : "No title and no id has this text.");
    } catch (error) {
      if (error.name === "AbortError") throw error;
      failed($("find-state"), error);
    }
  });
}

/** Offer users whose id begins with a text, and return them. The store has no index of ids: it offers a sample. */
export async function findUsers(text, signal) {
  if (text.length > MOST_CHARACTERS) {
    $("users").replaceChildren();
    state($("users-note"), "");
    return [];
  }
  let found;
  try {
    found = await call("GET", `explorer/users?${query(text || prefix())}`, null, { signal });
  } catch (error) {
    if (error.name !== "AbortError") failed($("users-note"), error);
    throw error;
  }
  $("users").replaceChildren(...found.users.map(user =>
    element("option", { value: String(user.user_id) }, count(user.history + user.events, "interaction"))));
  const note = `The field offers ids of a sample of ${count(found.sampled, "user")}; every other id works too.`;
  state($("users-note"), "", found.complete ? "" : note);
  return found.users;
}

/** Offer users as their id is typed. */
export function searchUsers() {
  whileTyping($("user"), (text, signal) => findUsers(text.trim(), signal).catch(() => {}));
}
