// The fields of the Explorer: what they offer, their state in the address of the page, and the requests they describe.
import { $, element } from "../common.js";

const NAMES = ["user", "surface", "mode", "arm", "compare", "type"];
const CONTEXT = "context.";
const SHOWN_CHARACTERS = 60; // of a value that is not known

let choices = { scopes: [], users: "" };

/** Whether the key of the page has a scope. */
export const may = scope => choices.scopes.includes(scope);

/** The beginning of the ids of the users that the key may name. */
export const prefix = () => choices.users;

/** Offer what the answer of /explorer/choices names; the fields take their values from the address. */
export function offer(found) {
  const first = !choices.generation, kept = first ? fromAddress() : values();
  choices = found;
  const arms = found.experiments.flatMap(each => each.arms.map(arm => `${each.name}=${arm}`));
  fill("surface", found.surfaces.map(each => [each.name, each.name]));
  fill("mode", [["", "by surface"], ...found.modes.map(mode => [mode, mode])]);
  fill("arm", [["", "as assigned"], ...arms.map(arm => [arm, arm, !may("admin")])]);
  fill("compare", [["", "nothing"], ...found.modes.map(mode => [`mode:${mode}`, `mode ${mode}`]),
    ...arms.map(arm => [`arm:${arm}`, `arm ${arm}`, !may("admin")])]);
  fill("type", found.event_types.map(type => [type, type]));
  $("arm-field").hidden = !arms.length;
  $("contexts").hidden = !found.contexts.length;
  $("contexts").replaceChildren(...found.contexts.map(contextField));
  const unknown = put(kept);
  if (first) $("unknown").textContent = unknown.map(([name, value]) => `The ${name} ${value.slice(0, SHOWN_CHARACTERS)} is not known.`).join(" ");
}

function contextField({ column, values: known }) {
  const select = element("select", { data: { column } });
  return element("label", {}, `Context: ${column} `, options(select, [["", "not stated"], ...known.map(value => [value, value])]));
}

function fill(id, offered) {
  options($(id), offered);
}

function options(select, offered) {
  select.replaceChildren(...offered.map(([value, words, closed = false]) =>
    element("option", { value, disabled: closed }, closed ? `${words} (needs the scope admin)` : words)));
  return select;
}

const contextFields = () => [...$("contexts").querySelectorAll("select")];

/** The values of the fields by name; a field without a choice is left out. */
export function values() {
  const all = [...NAMES.map(name => [name, $(name).value]), ...contextFields().map(field => [CONTEXT + field.dataset.column, field.value])];
  return Object.fromEntries(all.filter(([, value]) => value));
}

function fromAddress() {
  return Object.fromEntries(new URLSearchParams(location.search));
}

/** Set the fields, and return the names and values that no field offers. */
function put(kept) {
  const fields = [...NAMES.map(name => [name, $(name)]), ...contextFields().map(field => [CONTEXT + field.dataset.column, field])];
  const unknown = [];
  for (const [name, field] of fields) {
    const value = kept[name] ?? "";
    const option = field.id !== "user" && [...field.options].find(each => each.value === value);
    if (field.id === "user") field.value = value.trim() || field.value;
    else if (option && !option.disabled) field.value = value;
    else if (!option && value) unknown.push([name, value]);
  }
  return unknown;
}

/** Write the state into the address, which can be sent to a colleague. The key is no part of it. asNew: Back returns to the state before. */
export function keepInAddress(asNew = false) {
  const address = `?${new URLSearchParams(values())}`;
  if (address === location.search) return;
  history[asNew ? "pushState" : "replaceState"](null, "", address);
}

/** Call `action` when Back or Forward gave the fields the state of another address. */
export function onBack(action) {
  addEventListener("popstate", () => {
    if (!choices.generation || `?${new URLSearchParams(values())}` === location.search) return; // a link within the page
    $("user").value = "";
    put(fromAddress());
    action();
  });
}

/** The request of each column: its name, the body for /explorer/slate, and the headers. */
export function columns() {
  const { user, surface, mode, arm = "", compare = "" } = values();
  const context = Object.fromEntries(contextFields().filter(field => field.value).map(field => [field.dataset.column, field.value]));
  const column = (name, mode, arm) => ({
    name,
    body: { user_id: user, surface, context, ...(mode && { mode }) },
    headers: arm ? { "x-tandem-arm": arm } : {},
  });
  const [what, other] = [compare.slice(0, compare.indexOf(":")), compare.slice(compare.indexOf(":") + 1)];
  const named = [mode && `Mode ${mode}`, arm && `Arm ${arm}`].filter(Boolean).join(", ");
  const first = column(named || (compare ? "As served" : "Slate"), mode, arm);
  if (!compare) return [first];
  return [first, what === "mode" ? column(`Mode ${other}`, other, arm) : column(`Arm ${other}`, mode, other)];
}
