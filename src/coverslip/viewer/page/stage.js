// The slide itself: OpenSeadragon, the scale bar, and where a level-0 pixel is on screen.

import { ofSlide } from "/page/api.js";

export class Stage {
  constructor(element, { moved, clicked, failed }) {
    this.element = element;
    this.facts = null;
    this.viewer = OpenSeadragon({
      element: element.querySelector("#deep"),
      navigatorId: "navigator",
      showNavigator: true,
      showNavigationControl: false,
      drawer: "canvas",
      tabIndex: -1,
      animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0.01 : 0.4,
      blendTime: 0,
      maxZoomPixelRatio: 8,
      minZoomImageRatio: 0.7,
      visibilityRatio: 0.3,
      zoomPerClick: 2,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { pinchRotate: false },
    });
    this.viewer.addHandler("update-viewport", () => { this.bar(); moved(false); });
    this.viewer.addHandler("animation-finish", () => moved(true));
    this.viewer.addHandler("resize", () => moved(true));
    this.viewer.addHandler("canvas-click", (event) => {
      if (event.quick) clicked(this.l0(event.position.x, event.position.y));
    });
    this.viewer.addHandler("canvas-key", (event) => { event.preventDefaultAction = true; });
    this.viewer.addHandler("tile-load-failed", (event) => {
      if (this.facts) failed(event.tile?.getUrl?.() ?? "");
    });
  }

  open(facts) {
    this.facts = facts;
    this.element.classList.remove("bare");
    this.element.dataset.loaded = "";
    return new Promise((done) => {
      this.viewer.addOnceHandler("open", () => {
        const image = this.viewer.world.getItemAt(0);
        const told = () => { this.element.dataset.loaded = image.getFullyLoaded() ? facts.id : ""; };
        image.addHandler("fully-loaded-change", told);
        told();
        done();
      });
      this.viewer.open({
        width: facts.width, height: facts.height, tileSize: facts.tile, tileOverlap: facts.overlap,
        minLevel: Math.min(facts.top, 6), maxLevel: facts.top,
        getTileUrl: (level, x, y) => ofSlide(facts.id, `/tiles/${level}/${x}/${y}.jpg`),
      });
    });
  }

  close() {
    this.facts = null;
    this.element.classList.add("bare");
    this.viewer.close();
  }

  // Where level 0 lies on screen, in CSS pixels: x = left + scale * l0_x.
  frame() {
    const image = this.viewer.world.getItemAt(0);
    if (!image || !this.facts) return null;
    const view = this.viewer.viewport;
    const at = (x, y) => view.pixelFromPoint(image.imageToViewportCoordinates(x, y), true);
    const [start, end] = [at(0, 0), at(this.facts.width, this.facts.height)];
    return { left: start.x, top: start.y, scale: (end.x - start.x) / this.facts.width };
  }

  l0(x, y) {
    const frame = this.frame();
    return frame && { x: (x - frame.left) / frame.scale, y: (y - frame.top) / frame.scale };
  }

  view() {
    const box = this.viewer.container;
    const frame = this.frame();
    if (!frame) return null;
    return { ...this.l0(box.clientWidth / 2, box.clientHeight / 2), z: frame.scale };
  }

  // Centre on a level-0 pixel, at z screen pixels for one of level 0.
  go(x, y, z, at_once = true) {
    const image = this.viewer.world.getItemAt(0);
    if (!image) return;
    const view = this.viewer.viewport;
    if (z) view.zoomTo(image.imageToViewportZoom(z), null, at_once);
    view.panTo(image.imageToViewportCoordinates(x, y), at_once);
  }

  whole(at_once = false) {
    const [x, y, width, height] = this.facts.bounds;
    const box = this.viewer.container;
    const z = Math.min(box.clientWidth / width, box.clientHeight / height) * 0.95;
    this.go(x + width / 2, y + height / 2, z, at_once);
  }

  pan(right, down) {
    const step = 0.2 * Math.min(this.element.clientWidth, this.element.clientHeight);
    const view = this.viewer.viewport;
    view.panBy(view.deltaPointsFromPixels(new OpenSeadragon.Point(right * step, down * step)));
    view.applyConstraints();
  }

  zoom(factor) {
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  bar() {
    const frame = this.frame();
    const text = this.element.querySelector("#scale-text");
    const line = this.element.querySelector("#scale-line");
    if (!frame) return;
    const unit = this.facts.mpp ?? 1;
    const wanted = (120 / frame.scale) * unit;
    const power = 10 ** Math.floor(Math.log10(wanted));
    const length = [5, 2, 1].map((step) => step * power).find((told) => told <= wanted);
    line.style.width = `${(length / unit) * frame.scale}px`;
    if (this.facts.mpp === null) text.textContent = `${length} px`;
    else text.textContent = length >= 1000 ? `${length / 1000} mm` : `${Number(length.toPrecision(1))} µm`;
  }
}
