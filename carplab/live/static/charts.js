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
    this.ping.show(charts.ping, charts, charts.lost);
    this.iperf.show(charts.iperf, charts, []);
  }
}

class Chart {
  constructor(place, stroke, scales) {
    const { ColumnDataSource, Plotting, Range1d } = window.Bokeh;
    this.scales = scales;
    this.x = new Range1d({ start: -CHART_S, end: 0 });
    this.y = new Range1d({ start: 0, end: 1 });
    this.line = new ColumnDataSource({ data: { x: [], y: [] } });
    this.lost = new ColumnDataSource({ data: { x: [], y: [] } });
    this.faults = new ColumnDataSource({ data: { left: [], right: [], top: [], bottom: [] } });
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
    figure.quad({
      source: this.faults, left: { field: "left" }, right: { field: "right" }, top: { field: "top" }, bottom: { field: "bottom" },
      fill_color: colour("orange"), fill_alpha: 0.3, line_color: null,
    });
    figure.line({ source: this.line, x: { field: "x" }, y: { field: "y" }, line_color: stroke, line_width: 2 });
    figure.scatter({
      source: this.lost, x: { field: "x" }, y: { field: "y" }, marker: "x", size: 8,
      line_color: colour("vermillion"), line_width: 2,
    });
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

  show({ x, y }, { from, t, faults }, lost) {
    const most = y.reduce((top, each) => (each > top ? each : top), 0);
    const top = this.scales.find((each) => each >= most * 1.05) ?? most * 1.1;
    this.y.end = top;
    this.x.setv({ start: from, end: t });
    this.line.data = { x, y };
    this.lost.data = { x: lost, y: lost.map(() => top * 0.06) };
    this.faults.data = {
      left: faults.map(([start]) => start),
      right: faults.map(([, end]) => end),
      top: faults.map(() => top),
      bottom: faults.map(() => 0),
    };
  }
}
