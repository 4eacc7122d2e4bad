// The source's time here: what its messages say, carried on by this machine's clock.

const SILENT_MS = 1500; // without a word for so long, time stands still: nothing is known of it
const SNAP_S = 0.3;
const EASE = 0.08; // of a smaller difference this part is made up with each message

export class Clock {
  constructor() {
    this.speed = 0;
    this.base = 0;
    this.atMs = 0;
    this.heardMs = -Infinity;
  }

  sync(nowS, speed, atMs) {
    const difference = nowS - this.now(atMs);
    const isJump = speed !== this.speed || Math.abs(difference) > SNAP_S * Math.max(1, speed);
    const base = isJump ? nowS : this.now(atMs) + difference * EASE;
    Object.assign(this, { base, speed, atMs, heardMs: atMs });
  }

  now(atMs) {
    const passedMs = Math.min(atMs, this.heardMs + SILENT_MS) - this.atMs;
    return this.base + (Math.max(0, passedMs) / 1000) * this.speed;
  }

  isSilent(atMs) {
    return atMs > this.heardMs + SILENT_MS;
  }
}
