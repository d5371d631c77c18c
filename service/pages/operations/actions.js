// Promotion and rollback: the dialog that confirms, the start of a run of Prefect's, and its state until it ends.
import { $, call, element } from "../common.js";

const LOOK_MS = 1000, MOST_FAILURES = 5;
let running = false, ended = () => {};

/** Call `action` when a run has ended. */
export function onEnd(action) { ended = action; }

/** A button that opens the confirmation, which starts a run. kind: promote or rollback. Kept by its id while the page refreshes. */
export function button(kind, generation, disabled) {
  const words = kind === "promote" ? "Promote" : "Roll back";
  return element("button", { id: `${kind}-${generation}`, type: "button", disabled: disabled || running,
    "aria-label": `${words}${kind === "promote" ? "" : " to"} ${generation}`, onclick: () => ask(kind, generation) }, words);
}

function ask(kind, generation) {
  if (running) return;
  const dialog = $("confirm"), typed = $("typed"), go = $("confirm-go"), promotes = kind === "promote";
  $("confirm-heading").textContent = promotes ? "Make this generation live?" : "Roll back?";
  $("confirm-words").textContent = `Every gateway will answer from ${generation}, as soon as each process has loaded it.`;
  $("confirm-typed").hidden = !promotes;
  go.textContent = promotes ? "Promote" : `Roll back to ${generation}`;
  typed.value = "";
  const check = () => { go.disabled = promotes && typed.value.trim() !== generation; };
  typed.oninput = check;
  check();
  dialog.returnValue = "";
  dialog.onclose = () => { if (dialog.returnValue === "go") start(kind, generation, promotes ? typed.value.trim() : generation); };
  dialog.showModal();
  if (!promotes) $("confirm-cancel").focus(); // a second press of Enter must not roll back
}

async function start(kind, generation, confirm) {
  running = true;
  show(`${kind} to ${generation}: starting…`);
  try {
    const run = await call("POST", `operations/${kind}`, { generation, confirm });
    await follow(`${kind} to ${generation}`, run);
  } catch (error) { show(`${kind} to ${generation} was not started: ${error.message}`, "bad"); }
  running = false;
  ended();
}

async function follow(what, run) {
  for (let failures = 0; !run.ended;) {
    const late = run.state === "Late" ? " No worker has taken the run. Is one running? prefect worker start --pool tandem" : "";
    show(`${what}: ${run.state}.${late} ${run.message}`);
    await new Promise(done => setTimeout(done, LOOK_MS));
    try {
      run = await call("GET", `operations/runs/${run.id}`);
      failures = 0;
    } catch (error) {
      if (++failures === MOST_FAILURES) throw new Error(`the run ${run.id} was started, and its state can't be read: ${error.message}`);
    }
  }
  show(`${what}: ${run.state}. ${run.message}`, run.succeeded ? "good" : "bad");
}

function show(words, kind = "") {
  $("action").className = `action ${kind}`.trim();
  $("action").textContent = words;
  $("action").scrollIntoView({ block: "nearest" }); // the table may be longer than the window
}
