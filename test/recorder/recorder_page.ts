// The recorder's page in headless Chromium, and what a person sees and does there.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import type { Page } from "puppeteer-core";
import { type Browser, launchBrowser } from "../../src/host/chromium.ts";

export class RecorderPage {
  readonly browser: Browser;
  readonly folder: string;
  readonly url: string;
  /** What the console and uncaught errors said. */
  readonly complaints: string[] = [];
  page!: Page;
  readonly #served: { close(): void };

  private constructor(browser: Browser, folder: string, served: { url: string; close(): void }) {
    this.browser = browser;
    this.folder = folder;
    this.url = `${served.url}recorder.html`;
    this.#served = served;
  }

  /** Builds the page from the sources, serves it as `npm run demo` does, and starts a browser. `prelude` runs in the worker first. */
  static async start({ flags = [], prelude = "" }: { flags?: readonly string[]; prelude?: string } = {}) {
    const folder = mkdtempSync(join(tmpdir(), "kinema-recorder-"));
    const [script, worker] = [join(folder, "recorder.js"), join(folder, "recorder_worker.js")];
    const options = { bundle: true, target: "es2022", logLevel: "error" } as const;
    await build({ ...options, entryPoints: ["bench/recorder/recorder.ts"], format: "esm", outfile: script });
    const banner = { js: prelude };
    await build({
      ...options,
      entryPoints: ["bench/recorder/store_worker.ts"],
      format: "iife",
      outfile: worker,
      banner,
    });
    const { serveDemo } = await import(pathToFileURL(resolve("tools/demo.mjs")).href);
    const served = await serveDemo({ port: 0, files: { "/recorder.js": script, "/recorder_worker.js": worker } });
    return new RecorderPage(await launchBrowser({ flags }), folder, served);
  }

  /** Opens the page; `before` runs in it first. */
  async open(before: () => void = () => {}): Promise<void> {
    await this.page?.close();
    this.page = await this.browser.puppeteer.newPage();
    this.page.on("console", (line) => this.complaints.push(line.text()));
    this.page.on("pageerror", (error) => this.complaints.push(String(error)));
    await this.page.evaluateOnNewDocument(before);
    const client = await this.page.createCDPSession();
    await client.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: this.folder });
    await this.page.goto(this.url);
  }

  /** Waits until an expression holds in the page. */
  async until(test: string, timeout = 120_000): Promise<void> {
    await this.page.waitForFunction(test, { timeout, polling: 30 }).catch(async (error) => {
      throw new Error(`${test}: ${error.message}; the page says "${await this.text("message")}"`);
    });
  }

  message(part: string): Promise<void> {
    return this.until(`document.querySelector("#message").textContent.includes(${JSON.stringify(part)})`);
  }

  text(id: string): Promise<string> {
    return this.page.$eval(`#${id}`, (element) => element.textContent ?? "");
  }

  press(id: string): Promise<void> {
    return this.page.click(`#${id}`);
  }

  async choose(id: "file" | "store", path: string): Promise<void> {
    await (await this.page.$(`input#${id}` as "input"))!.uploadFile(path);
  }

  rate(rate: string): Promise<void> {
    return this.page.$eval(`input[value="${rate}"]`, (radio) => (radio as HTMLInputElement).click());
  }

  /** Waits for so many committed frames. */
  frames(count: number, timeout?: number): Promise<void> {
    const seek = 'document.querySelector("#seek")';
    return this.until(`!${seek}.disabled && Number(${seek}.max) >= ${count - 1}`, timeout);
  }

  /** Names of the recordings, the newest first. */
  recordings(): Promise<string[]> {
    return this.page.$$eval("#recordings li", (items) => items.map((item) => (item as HTMLElement).dataset.name!));
  }

  /** Presses a button of a recording. */
  act(name: string, label: "Open" | "Download" | "Delete"): Promise<void> {
    return this.page.$$eval(
      `#recordings li[data-name="${name}"] button`,
      (buttons, wanted) => (buttons.find((button) => button.textContent === wanted) as HTMLElement).click(),
      label,
    );
  }

  /** Moves the slider to frames as fast as the page takes it. */
  point(...frames: number[]): Promise<void> {
    return this.page.$eval(
      "#seek",
      (element, places) => {
        for (const place of places) {
          (element as HTMLInputElement).value = String(place);
          element.dispatchEvent(new Event("input"));
        }
      },
      frames,
    );
  }

  /** The picture that is shown: RGBA bytes. */
  async picture(): Promise<Uint8Array> {
    const text = await this.page.$eval("#decoded", (element) => {
      const canvas = element as HTMLCanvasElement;
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true })!;
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
      return Array.from(data, (byte) => String.fromCharCode(byte)).join("");
    });
    return Uint8Array.from(text, (character) => character.charCodeAt(0));
  }

  /** Downloads a recording; its path. */
  async download(name: string): Promise<string> {
    await this.act(name, "Download");
    for (let tries = 0; tries < 200 && !readdirSync(this.folder).includes(name); tries++)
      await new Promise((done) => setTimeout(done, 50));
    return join(this.folder, name);
  }

  async downloaded(name: string): Promise<Uint8Array> {
    return new Uint8Array(readFileSync(await this.download(name)));
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.#served.close();
    rmSync(this.folder, { recursive: true });
  }
}
