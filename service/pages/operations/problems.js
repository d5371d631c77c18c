// What is not as promised, one sentence each: the first thing to read at night.
import { ago, duration, ms, percent } from "./format.js";

const MOST = 12, NAMED = 3, MOST_CHARACTERS = 300;
const LEAST_REQUESTS = 100; // a p99 of fewer requests is chance

/** Problems as sentences; none while all is as promised. */
export function problems(data) {
  const found = [...ofServing(data), ...ofRequests(data), ...(data.stored ? ofFlows(data) : [])]
    .map(words => words.length > MOST_CHARACTERS ? `${words.slice(0, MOST_CHARACTERS)}…` : words);
  return found.length > MOST ? [...found.slice(0, MOST), `… and ${found.length - MOST} more`] : found;
}

function ofServing({ status, at, ages, promises }) {
  const made = ages.filter(({ made: when, promised }) => when !== null && promised !== null && at - when > promised);
  return [
    !status.ready && "No generation is in force in this gateway.",
    status.store !== "ok" && `The store can't be read, so what is in it is missing below: ${status.store}`,
    status.ready && status.live && status.live !== status.generation && `live names ${status.live}, and this gateway answers from ${status.generation}.`,
    ...status.away.map(stage => `This gateway answers without ${stage}.`),
    ...Object.entries(status.refused).map(([id, why]) => `Generation ${id} is refused. ${why}`),
    ...status.rules, ...status.surface_errors,
    ...made.map(({ part, made: when, promised }) => `${promises.lists.includes(part) ? `lists of ${part}` : part}: made ${ago(when, at)}, promised within ${duration(promised)}.`),
  ].filter(Boolean);
}

function ofRequests({ hour: { recent }, promises }) {
  return Object.entries(recent).flatMap(([verb, figures]) => [
    figures.rate * figures.seconds >= LEAST_REQUESTS && figures.p99 > promises.p99[verb] && `/${verb} is slow: p99 ${ms(figures.p99)}, promised ${ms(promises.p99[verb])}.`,
    figures.failed > promises.alerting && `${percent(figures.failed)} of the requests to /${verb} fail.`,
    verb === "recommend" && figures.lacking > promises.lacking && `${percent(figures.lacking)} of the slates lack a stage.`,
    verb === "recommend" && figures.overload > promises.lacking && `${percent(figures.overload)} of the slates are lists, because too many requests are in flight.`,
  ].filter(Boolean));
}

function ofFlows({ stored, at, ages, promises }) {
  const shown = new Set(ages.map(({ part }) => part)); // late lists are named above
  return [
    ...stored.flows.filter(flow => flow.late && !shown.has(flow.flow)).map(flow => `Flow ${flow.flow} is late: last success ${ago(flow.last_success, at)}, promised within ${duration(flow.promised)}.`),
    ...stored.flows.filter(flow => ["failed", "crashed"].includes(flow.state)).map(flow => `The last run of flow ${flow.flow} ${flow.state}.`),
    ...stored.experiments.filter(({ status }) => status === "running").flatMap(({ name, halted }) =>
      Object.entries(halted).map(([arm, why]) => `Arm ${arm} of experiment ${name} is halted: ${why}`)),
    ...ofDrift(stored.drift?.columns ?? []),
    ...Object.entries(stored.drift?.skew ?? {}).filter(([, share]) => share > promises.skew).map(([name, share]) => `${percent(share)} of the logged values of ${name} differ from recomputed ones.`),
  ];
}

/** One sentence for each of what columns are compared with, the training and the week before. */
function ofDrift(columns) {
  const alarms = Map.groupBy(columns.filter(({ alarm }) => alarm), ({ against }) => against);
  return [...alarms].map(([against, found]) => {
    const names = found.slice(0, NAMED).map(({ column }) => column).join(", ");
    const from = `from the ${against === "week" ? "week before" : against}`;
    if (found.length === 1) return `${names} has drifted ${from}: PSI ${found[0].psi.toFixed(2)} (see Drift).`;
    return `${found.length} columns have drifted ${from}: ${names}${found.length > NAMED ? ", …" : ""} (see Drift).`;
  });
}

/** What is promised and was not made yet, with its command; empty if all was made, or while the store can't be read. */
export function notMade({ stored, ages, promises }) {
  if (!stored) return "";
  const name = part => promises.lists.includes(part) ? `lists of ${part} (python -m flows ${part})` : `${part} items (python -m flows refresh)`;
  const absent = ages.filter(({ part, made, promised }) => made === null && promised !== null && part !== "model");
  return absent.length ? `Not made yet: ${absent.map(({ part }) => name(part)).join(", ")}.` : "";
}
