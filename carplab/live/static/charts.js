// Two charts of the last minute, drawn by BokehJS.

import { CHART_S } from "./view.js";

const SCALES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export class Charts {
  constructor(ping, iperf) {
    this.ping = new Chart(ping, colour("blue"), SCALES);
    this.iperf = new Chart(iperf, colour("dark-green"), SCALES);
  }

  show(charts) {
    this.ping.show(charts.ping, charts);
    this.iperf.show(charts.iperf, charts);
  }
}

class Chart {
  constructor(place, stroke, scales) {
    const { ColumnDataSource, Plotting, Range1d } = window.Bokeh;
    this.scales = scales;
    this.x = new Range1d({ start: -CHART_S, end: 0 });
    this.y = new Range1d({ start: 0, end: 1 });
    this.line = new ColumnDataSource({ data: { x: [], y: [] } });
    this.spans = new Map();
    const figure = Plotting.figure({
      width: place.clientWidth,
      height: place.clientHeight,
      x_range: this.x,
      y_range: this.y,
      tools: [],
      toolbar_location: null,
      min_border: 2,
      min_border_right: 12,
      outline_line_color: null,
      background_fill_color: "white",
    });
    for (const [kind, fill, alpha] of [["faults", "orange", 0.3], ["outages", "black", 1]]) {
      const source = new ColumnDataSource({ data: { left: [], right: [], top: [], bottom: [] } });
      const fields = Object.fromEntries(["left", "right", "top", "bottom"].map((field) => [field, { field }]));
      figure.quad({ source, ...fields, fill_color: colour(fill), fill_alpha: alpha, line_color: null });
      this.spans.set(kind, source);
    }
    figure.line({ source: this.line, x: { field: "x" }, y: { field: "y" }, line_color: stroke, line_width: 2 });
    for (const axis of [figure.xaxis, figure.yaxis]) {
      axis.axis_label_text_font_size = "12px";
      axis.major_label_text_font_size = "12px";
      axis.major_label_text_color = "black";
      axis.minor_tick_line_color = null;
    }
    figure.xgrid.grid_line_color = null;
    figure.ygrid.grid_line_color = colour("pale-grey");
    Plotting.show(figure, place);
  }

  show({ x, y }, { from, t, faults, outages }) {
    const most = y.reduce((top, each) => (each > top ? each : top), 0);
    const top = this.scales.find((each) => each >= most * 1.05) ?? most * 1.1;
    this.y.end = top;
    this.x.setv({ start: from, end: t });
    this.line.data = { x, y };
    this.showSpans("faults", faults, top);
    this.showSpans("outages", outages, top * 0.07);
  }

  showSpans(kind, spans, top) {
    this.spans.get(kind).data = {
      left: spans.map(([start]) => start),
      right: spans.map(([, end]) => end),
      top: spans.map(() => top),
      bottom: spans.map(() => 0),
    };
  }
}
