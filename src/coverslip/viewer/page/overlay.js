// What is drawn over the slide, in level-0 pixels: heatmap, outlines, the chosen patch.

export class Overlay {
  constructor(stage) {
    this.stage = stage;
    this.heat = layer(stage, "heat");
    this.lines = layer(stage, "lines");
    this.scores = null;
    this.outlines = { tissue: null, lesions: null };
  }

  // Patches of n: corners, one side, and columns of values from 0 to 1.
  setScores(scores) {
    this.scores = scores;
    this.values = null;
  }

  setOutlines(told) {
    for (const name of ["tissue", "lesions"]) this.outlines[name] = told ? path(told[name]) : null;
  }

  setValues(values) {
    this.values = values;
    this.order = values.map((_, i) => i).sort((a, b) => values[b] - values[a] || a - b);
    this.place = new Array(values.length);
    this.order.forEach((i, at) => { this.place[i] = at; });
  }

  // The patch at a level-0 pixel; of several the one with the highest value.
  at(point) {
    if (!this.values || !point) return null;
    const { x, y, side } = this.scores;
    const hit = this.order.find((i) =>
      x[i] <= point.x && point.x < x[i] + side && y[i] <= point.y && point.y < y[i] + side);
    return hit ?? null;
  }

  draw(state, colours) {
    const frame = this.stage.frame();
    for (const canvas of [this.heat, this.lines]) clear(canvas);
    if (!frame) return;
    this.heat.style.opacity = state.opacity;
    if (state.heat && this.values && colours) this.paint(frame, state.low, colours);
    this.outline(frame, state);
  }

  // Lowest first, so that where patches overlap the highest is seen. Opaque here: opacity
  // is the layer's, so that overlaps do not add up.
  paint(frame, low, colours) {
    const pen = this.heat.getContext("2d");
    const ratio = this.heat.width / this.heat.clientWidth;
    const { x, y, side } = this.scores;
    const scale = frame.scale * ratio;
    const [left, top] = [frame.left * ratio, frame.top * ratio];
    for (let at = this.order.length - 1; at >= 0; at--) {
      const i = this.order[at];
      const value = this.values[i];
      if (value < low) continue;
      const x0 = Math.round(left + x[i] * scale), x1 = Math.round(left + (x[i] + side) * scale);
      const y0 = Math.round(top + y[i] * scale), y1 = Math.round(top + (y[i] + side) * scale);
      if (x1 < 0 || y1 < 0 || x0 > this.heat.width || y0 > this.heat.height) continue;
      pen.fillStyle = colours[Math.round(value * 255)];
      pen.fillRect(x0, y0, Math.max(1, x1 - x0), Math.max(1, y1 - y0));
    }
  }

  outline(frame, state) {
    const pen = this.lines.getContext("2d");
    const ratio = this.lines.width / this.lines.clientWidth;
    const scale = frame.scale * ratio;
    pen.setTransform(scale, 0, 0, scale, frame.left * ratio, frame.top * ratio);
    const stroke = (shape, colour, width) => {
      pen.lineWidth = (width * ratio) / scale;
      pen.strokeStyle = colour;
      pen.stroke(shape);
    };
    const style = getComputedStyle(document.documentElement);
    if (state.tissue && this.outlines.tissue) stroke(this.outlines.tissue, style.getPropertyValue("--tissue"), 1.5);
    if (state.lesions && this.outlines.lesions) {
      stroke(this.outlines.lesions, "#000", 4);
      stroke(this.outlines.lesions, style.getPropertyValue("--lesions"), 2);
    }
    if (state.patch !== null && this.scores?.x[state.patch] !== undefined) {
      const { x, y, side } = this.scores;
      const box = new Path2D();
      box.rect(x[state.patch], y[state.patch], side, side);
      stroke(box, "#fff", 5);
      stroke(box, "#0b5fff", 2.5);
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
  }
}

function layer(stage, name) {
  const canvas = document.createElement("canvas");
  canvas.className = "layer";
  canvas.id = `layer-${name}`;
  canvas.setAttribute("aria-hidden", "true");
  stage.viewer.container.append(canvas);
  return canvas;
}

function clear(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  else canvas.getContext("2d").clearRect(0, 0, width, height);
}

function path(polygons) {
  const shape = new Path2D();
  for (const rings of polygons) {
    for (const ring of rings) {
      ring.forEach(([x, y], i) => (i ? shape.lineTo(x, y) : shape.moveTo(x, y)));
      shape.closePath();
    }
  }
  return shape;
}
