// A sheet to draw on, with pointer or keyboard.

const SIDE = 448;

export class Sheet {
  /** `changed` is called when a stroke ends, `asked` when enter is pressed. */
  constructor({ canvas, seen, hint, mark, changed, asked }) {
    Object.assign(this, { canvas, seen, hint, mark, changed, asked });
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.pen = null;
    this.down = false;
    this.ink = "#fff";
    this.paper = "#000";
    this.width = 9;
    canvas.addEventListener("pointerdown", (event) => this.#start(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.#end());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      this.#lift();
      this.mark.hidden = true;
    });
  }

  /** For a model that takes images of this many pixels. */
  fit(height, width) {
    const scale = SIDE / Math.max(height, width);
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.seen.width = width;
    this.seen.height = height;
    this.clear();
  }

  paint({ ink, paper, width }) {
    const repaint = paper !== this.paper;
    Object.assign(this, { ink, paper, width });
    if (repaint) this.clear();
  }

  clear() {
    this.context.fillStyle = this.paper;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.pen = null;
    this.down = false;
    this.canvas.parentElement.classList.remove("drawn");
    this.hint.hidden = false;
    this.#preview();
  }

  /** The sheet as a PNG file. */
  file() {
    return new Promise((done) => this.canvas.toBlob(done, "image/png"));
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.canvas.width, ((event.clientY - box.top) / box.height) * this.canvas.height];
  }

  #start(event) {
    if (event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drawing = true;
    this.cursor = null;
    this.pen = this.#at(event);
    this.#line(this.pen);
  }

  #move(event) {
    if (!this.drawing) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) this.#line(this.#at(each));
  }

  #end() {
    if (!this.drawing) return;
    this.drawing = false;
    this.pen = null;
    this.#preview();
    this.changed();
  }

  #line(to) {
    const { context } = this;
    context.strokeStyle = this.ink;
    context.lineWidth = (this.width / 100) * Math.min(this.canvas.width, this.canvas.height);
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...(this.pen ?? to));
    context.lineTo(...to);
    context.stroke();
    this.pen = to;
    this.canvas.parentElement.classList.add("drawn");
    this.hint.hidden = true;
  }

  #key(event) {
    const { width, height } = this.canvas;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    this.cursor ??= [width / 2, height / 2];
    if (step) {
      const by = Math.max(width, height) / 32;
      const inside = (value, end) => Math.min(Math.max(value, 0), end);
      this.cursor = [inside(this.cursor[0] + step[0] * by, width), inside(this.cursor[1] + step[1] * by, height)];
      if (this.down) this.#line(this.cursor);
    } else if (event.key === " ") {
      if (this.down) this.#lift();
      else {
        this.down = true;
        this.pen = this.cursor;
        this.#line(this.cursor);
      }
    } else if (event.key === "Delete" || event.key === "Backspace") this.clear();
    else if (event.key === "Enter") this.asked();
    else return;
    event.preventDefault();
    this.#preview();
  }

  #lift() {
    if (!this.down) return;
    this.down = false;
    this.pen = null;
    this.#preview();
    this.changed();
  }

  /** What is left of the sheet at the model's size: halved until the last step, as one step would skip pixels. */
  #preview() {
    const { width, height } = this.seen;
    let from = this.canvas;
    while (from.width >= 2 * width && from.height >= 2 * height) {
      const half = new OffscreenCanvas(Math.ceil(from.width / 2), Math.ceil(from.height / 2));
      half.getContext("2d").drawImage(from, 0, 0, half.width, half.height);
      from = half;
    }
    this.seen.getContext("2d").drawImage(from, 0, 0, width, height);
    this.#mark();
  }

  /** Where the keyboard's pen is. */
  #mark() {
    this.mark.hidden = !this.cursor || document.activeElement !== this.canvas;
    if (this.mark.hidden) return;
    const [x, y] = this.cursor;
    this.mark.style.left = `${this.canvas.offsetLeft + (x / this.canvas.width) * this.canvas.offsetWidth}px`;
    this.mark.style.top = `${this.canvas.offsetTop + (y / this.canvas.height) * this.canvas.offsetHeight}px`;
  }
}
