// What the page has been told, by kind and in the order of time. Knows no page: what is shown at a
// time is a function of this buffer and the time (view.js).

export const KEPT_S = 300;
const STANDING = new Set(["status", "path", "probe"]); // hold until the next one of their kind
export const KINDS = ["status", "path", "event", "probe", "packet", "outage", "ping", "iperf"];

export class Buffer {
  constructor() {
    this.clear();
  }

  clear() {
    for (const kind of KINDS) this[kind] = [];
    this.version = 0;
  }

  add(messages) {
    for (const message of messages) {
      const list = this[message.kind];
      if (!list) continue;
      let place = list.length; // nearly always the end: only lost packets are told of later
      while (place > 0 && list[place - 1].t_s > message.t_s) place -= 1;
      list.splice(place, 0, message);
    }
    this.version += 1;
  }

  // Forget what was before `t`, but for what still held then.
  forget(t) {
    for (const kind of KINDS) {
      const list = this[kind];
      let count = countUntil(list, t);
      if (STANDING.has(kind)) count -= 1;
      if (count > 50) list.splice(0, count);
    }
  }

  // From when on it is known how things stood.
  get firstT() {
    return this.status[0]?.t_s ?? Infinity;
  }
}

// How many of a list, sorted by time, are at or before `t`.
export function countUntil(list, t) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].t_s <= t) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function lastUntil(list, t) {
  return list[countUntil(list, t) - 1];
}

export function between(list, from, to) {
  return list.slice(countUntil(list, from), countUntil(list, to));
}
