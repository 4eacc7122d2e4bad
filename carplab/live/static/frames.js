// Draws frames on their way: where they are follows from the view's time alone.

import { element } from "./draw.js";
import { framesAt } from "./view.js";

const MOST = 60;

export class Frames {
  constructor(drawing) {
    this.drawing = drawing;
    this.free = { there: [], back: [], advertisement: [], lost: [] };
    this.used = [];
  }

  show(buffer, t, speed) {
    for (const [kind, shape] of this.used) {
      shape.setAttribute("visibility", "hidden");
      this.free[kind].push(shape);
    }
    this.used = [];
    for (const frame of framesAt(buffer, t, speed).slice(0, MOST)) this.place(frame);
  }

  place(frame) {
    const at = frame.kind === "advertisement" ? this.onCable(frame) : frame.kind === "lost" ? this.atLoss(frame) : this.onWay(frame);
    if (!at) return;
    const shape = this.free[frame.kind].pop() ?? this.make(frame.kind);
    shape.setAttribute("transform", `translate(${at[0].toFixed(1)} ${at[1].toFixed(1)})`);
    shape.setAttribute("visibility", "visible");
    this.used.push([frame.kind, shape]);
  }

  make(kind) {
    const shape = {
      there: () => element("circle", { r: 6 }),
      back: () => element("circle", { r: 5 }),
      advertisement: () => element("path", { d: "M0-9 9 0 0 9-9 0z" }),
      lost: () => element("path", { d: "M-8-8 8 8M8-8-8 8" }),
    }[kind]();
    shape.setAttribute("class", kind);
    // a loss stands still: it is shown also where motion is not wanted
    (kind === "lost" ? this.drawing.losses : this.drawing.moving).append(shape);
    return shape;
  }

  onCable({ cable, out }) {
    const found = this.drawing.cables.get(cable)?.cable;
    return found && [found.x1 + (found.x2 - found.x1) * out, found.y1 + (found.y2 - found.y1) * out];
  }

  onWay({ cables, far }) {
    return along(this.points(cables), far);
  }

  atLoss({ at, cables }) {
    const cable = this.drawing.cables.get(at)?.cable;
    if (cable) return [(cable.x1 + cable.x2) / 2, (cable.y1 + cable.y2) / 2 - 34];
    return this.points(cables).at(-1);
  }

  // A way as a line: out of the first machine, then in and out of one after the other.
  points(cables) {
    const points = [];
    cables.forEach((id, index) => {
      const found = this.drawing.cables.get(id)?.cable;
      if (!found) return;
      const [machine, segment] = [[found.x1, found.y1], [found.x2, found.y2]];
      const isOut = index % 2 === 0;
      points.push(...(isOut ? [machine, segment] : [segment, machine]));
    });
    return points;
  }
}

function along(points, far) {
  const lengths = points.slice(1).map(([x, y], i) => Math.hypot(x - points[i][0], y - points[i][1]));
  let left = far * lengths.reduce((sum, each) => sum + each, 0);
  for (let i = 0; i < lengths.length; i += 1) {
    if (left <= lengths[i] && lengths[i] > 0) {
      const part = left / lengths[i];
      return [0, 1].map((k) => points[i][k] + (points[i + 1][k] - points[i][k]) * part);
    }
    left -= lengths[i];
  }
  return points.at(-1);
}
