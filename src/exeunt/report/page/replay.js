"use strict";
// Policies replayed over recorded exits: the same numbers as exeunt.evaluate.replay.

const payload = JSON.parse(document.getElementById("payload").textContent);
const E = payload.exit_macs.length;
const N = payload.samples;
const full = payload.exit_macs[E - 1];
const classifies = payload.task === "classification";

const ARRAYS = { u8: Uint8Array, u16: Uint16Array, f32: Float32Array };

// Numbers that were packed as little-endian bytes, whatever the order of this machine.
function unpack({ type, data }) {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const size = ARRAYS[type].BYTES_PER_ELEMENT;
  const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
  if (!little && size > 1)
    for (let i = 0; i < bytes.length; i += size) bytes.subarray(i, i + size).reverse();
  return new ARRAYS[type](bytes.buffer);
}

const targets = unpack(payload.targets);
const predictions = unpack(payload.predictions); // exit k, sample n: [k * N + n]
const readings = Object.fromEntries(
  Object.entries(payload.readings).map(([key, packed]) => [key, unpack(packed)]),
);

// A rule as a function (exit, sample) => whether it lets the sample go.
// Python compares in float32, so thresholds are rounded to it first; a threshold of null is never
// reached.
function follow(rule) {
  if ("agreements" in rule) {
    const runs = agreements(rule.eta);
    return (k, n) => runs[k * N + n] >= rule.agreements;
  }
  const read = readings[rule.reading];
  const least = rule.sign === ">=";
  const never = least ? Infinity : -Infinity;
  const thresholds = Float32Array.from(rule.thresholds, (value) => value ?? never);
  return least
    ? (k, n) => read[k * N + n] >= thresholds[k]
    : (k, n) => read[k * N + n] <= thresholds[k];
}

// How often in a row each exit of each sample has agreed with the one before: [k * N + n].
let counted = { eta: undefined, runs: null };
function agreements(eta) {
  if (counted.runs && counted.eta === eta) return counted.runs;
  const runs = new Uint16Array(E * N);
  const within = Math.fround(eta ?? 0);
  for (let k = 1; k < E; k++)
    for (let n = 0; n < N; n++) {
      const now = predictions[k * N + n];
      const before = predictions[(k - 1) * N + n];
      const agree = eta === null ? now === before : Math.abs(Math.fround(now - before)) < within;
      runs[k * N + n] = agree ? runs[(k - 1) * N + n] + 1 : 0;
    }
  counted = { eta, runs };
  return runs;
}

// The exit that every sample takes, from 0. Without rules nobody leaves early.
function exitsTaken(rules) {
  const taken = new Uint8Array(N).fill(E - 1);
  if (rules === null) return taken;
  const allow = rules.map(follow);
  for (let n = 0; n < N; n++)
    for (let k = 0; k < E - 1; k++)
      if (allow.every((leaves) => leaves(k, n))) {
        taken[n] = k;
        break;
      }
  return taken;
}

// What a policy gets right and what it spends, as exeunt.evaluate.Outcome has it, and the images
// and scores of each exit.
function outcomeOf(rules) {
  const taken = exitsTaken(rules);
  const counts = new Array(E).fill(0);
  const tallies = Array.from({ length: E }, tally);
  const all = tally();
  for (let n = 0; n < N; n++) {
    const k = taken[n];
    counts[k]++;
    for (const each of [tallies[k], all]) each.add(predictions[k * N + n], targets[n]);
  }
  const spent = counts.reduce((sum, count, k) => sum + count * payload.exit_macs[k], 0);
  return {
    taken,
    counts,
    macs: spent / N,
    saving: 1 - spent / (N * full),
    ...all.scores(),
    byExit: tallies.map((each) => each.scores()),
  };
}

// Counts what is right, or sums up errors.
function tally() {
  let count = 0, right = 0, absolute = 0, squares = 0;
  return {
    add(prediction, target) {
      count++;
      if (classifies) right += prediction === target ? 1 : 0;
      else {
        absolute += Math.abs(prediction - target);
        squares += (prediction - target) ** 2;
      }
    },
    scores() {
      return classifies
        ? { right, accuracy: right / count }
        : { mae: absolute / count, rmse: Math.sqrt(squares / count) };
    },
  };
}

// Of each class: images, how many are right, where they left, and what they were taken for.
function classesOf(taken) {
  const found = payload.classes.map((name, index) => ({
    index, name, samples: 0, right: 0, counts: new Array(E).fill(0), takenFor: new Map(),
  }));
  for (let n = 0; n < N; n++) {
    const own = found[targets[n]];
    const said = predictions[taken[n] * N + n];
    own.samples++;
    own.counts[taken[n]]++;
    if (said === own.index) own.right++;
    else own.takenFor.set(said, (own.takenFor.get(said) ?? 0) + 1);
  }
  for (const own of found) {
    own.accuracy = own.right / own.samples;
    own.macs = own.counts.reduce((sum, count, k) => sum + count * payload.exit_macs[k], 0) / own.samples;
  }
  return found;
}

// Wilson's 95 % interval of a share.
function wilson(right, count) {
  const z = 1.959963984540054;
  const share = right / count;
  const centre = share + (z * z) / (2 * count);
  const reach = z * Math.sqrt((share * (1 - share)) / count + (z * z) / (4 * count * count));
  const widest = 1 + (z * z) / count;
  return [Math.max(0, (centre - reach) / widest), Math.min(1, (centre + reach) / widest)];
}
