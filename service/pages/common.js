// What every page shares: calls of the API with the key of this tab, the line of a part's state, and elements made of text.
const KEY = "tandem-key"; // in sessionStorage, which ends with the tab

export const $ = id => document.getElementById(id);

/** An error that the API returned. status: of HTTP. field: the wrong field of the request, if there is one. told: whether the form for a key shows it. */
export class ApiError extends Error {
  constructor(status, { message, code, field = "" }) {
    super(field ? `${field}: ${message}` : message);
    Object.assign(this, { status, code, field });
  }
}

/** The JSON that a path answers. body: sent as JSON. options: headers, and a signal that aborts the call. ApiError for a refusal. */
export async function call(method, path, body, { headers = {}, signal } = {}) {
  const key = sessionStorage.getItem(KEY);
  const sent = { ...headers, ...(body && { "content-type": "application/json" }), ...(key && { authorization: `Bearer ${key}` }) };
  let answer, json;
  try {
    answer = await fetch(path, { method, headers: sent, body: body && JSON.stringify(body), signal });
    json = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(answer?.status ?? 0, { message: answer ? `The server answered ${answer.status} without JSON.` : "The server does not answer. Is it running?" });
  }
  if (answer.ok) return json;
  const error = new ApiError(answer.status, json.error ?? { message: answer.statusText });
  if (answer.status === 401 && !key) error.message = "Enter a key above."; // the API's sentence is about headers
  error.told = answer.status === 403 || Boolean(answer.status === 401 && key);
  if (answer.status === 401) askForKey(key ? "This key is not in force. Enter another." : "");
  if (answer.status === 403) askForKey(error.message);
  throw error;
}

function askForKey(words) {
  $("enter").hidden = false;
  state($("key-state"), words ? "error" : "", words);
}

/** Call `action` each time that a key was entered. */
export function onKey(action) {
  $("enter").addEventListener("submit", event => {
    event.preventDefault();
    sessionStorage.setItem(KEY, $("key").value.trim());
    $("key").value = "";
    $("enter").hidden = true;
    action();
  });
}

/** Show the state of a part of the page. kind: "" for ready, "loading", "empty" or "error". */
export function state(node, kind, words = "") {
  node.textContent = words;
  node.className = `state ${kind}`.trim();
}

/** Show an error as the state of a part, unless the form for a key shows it. */
export function failed(node, error) {
  state(node, error.told ? "" : "error", error.told ? "" : error.message);
}

/** An element with properties and attributes; texts among the children stay text. `class`, `data` and `style` have values of their own. */
export function element(kind, { class: name, data = {}, style = {}, ...rest } = {}, ...children) {
  const made = document.createElement(kind);
  if (name) made.className = name;
  Object.assign(made.dataset, data);
  for (const [property, value] of Object.entries(style)) made.style.setProperty(property, value); // the policy forbids style attributes
  for (const [key, value] of Object.entries(rest)) {
    if (key in made) made[key] = value;
    else if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined && child !== ""));
  return made;
}
