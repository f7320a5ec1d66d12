/** Seconds that the chart spans, and classes that it shows. */
const SPAN = 8;
const ROWS = 5;

interface Point {
  /** Seconds. */
  readonly time: number;
  readonly scores: ArrayLike<number>;
}

/** Probabilities over the last seconds, a strip for each of the classes that lead. */
export class Chart {
  readonly #canvas: HTMLCanvasElement;
  readonly #dark = matchMedia("(prefers-color-scheme: dark)");
  #labels: readonly string[] = [];
  #points: Point[] = [];

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    this.#dark.addEventListener("change", () => this.#draw());
    new ResizeObserver(() => this.#draw()).observe(canvas);
  }

  /** Begins anew with these classes. */
  clear(labels: readonly string[]): void {
    this.#labels = labels;
    this.#points = [];
    this.#draw();
  }

  /** @param time seconds, not less than that of the point before */
  add(time: number, scores: ArrayLike<number>): void {
    this.#points.push({ time, scores });
    this.#points = this.#points.filter((point) => point.time > time - SPAN);
    this.#draw();
  }

  /** The classes that led most in the window, in the model's order so that rows do not jump. */
  #leaders(): number[] {
    const total = (index: number) => this.#points.reduce((sum, { scores }) => sum + scores[index]! ** 2, 0);
    const totals = this.#labels.map((_, index) => ({ index, total: total(index) }));
    const leading = totals.sort((a, b) => b.total - a.total).slice(0, ROWS);
    return leading.map(({ index }) => index).sort((a, b) => a - b);
  }

  /** Hues a golden angle apart, equally light: no two classes of a few dozen share one, and text beside them stays readable. */
  #colour(index: number): string {
    return `oklch(${this.#dark.matches ? 0.72 : 0.62} 0.15 ${(250 + index * 137.5) % 360})`;
  }

  #draw(): void {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    const context = this.#canvas.getContext("2d")!;
    context.scale(scale, scale);
    context.font = "13px system-ui, sans-serif";
    const pitch = height / ROWS;
    this.#leaders().forEach((index, row) => {
      this.#strip(context, index, { top: row * pitch, width, height: pitch - 8 });
    });
  }

  /** One class: the curve over a base line, its name and its probability now. */
  #strip(context: CanvasRenderingContext2D, index: number, box: { top: number; width: number; height: number }): void {
    const { top, width, height } = box;
    const style = getComputedStyle(this.#canvas);
    const bottom = top + height;
    const last = this.#points.at(-1);
    const x = (time: number) => width * (1 - ((last?.time ?? 0) - time) / SPAN);
    context.beginPath();
    context.moveTo(this.#points.length > 0 ? x(this.#points[0]!.time) : width, bottom);
    for (const { time, scores } of this.#points) context.lineTo(x(time), bottom - scores[index]! * height);
    context.lineTo(width, bottom);
    context.fillStyle = this.#colour(index);
    context.globalAlpha = 0.5;
    context.fill();
    context.globalAlpha = 1;
    context.fillRect(0, bottom, width, 1);
    context.fillStyle = style.color;
    context.textBaseline = "top";
    context.textAlign = "left";
    context.fillText(this.#labels[index]!, 0, top + 2);
    context.textAlign = "right";
    if (last) context.fillText(`${Math.round(100 * last.scores[index]!)} %`, width, top + 2);
  }
}
