import type { Page as PuppeteerPage } from "puppeteer-core";
import { fail, KinemaError } from "../core/fail.ts";
import type { Browser } from "./chromium.ts";
import type { Answer, CallMessage } from "./page/rpc.ts";
import { pack, unpack } from "./page/wire.ts";
import { failure, remoteFailure } from "./page_failure.ts";
import { type Server, startServer } from "./server.ts";

const ABORT_GRACE_MS = 2000;

export interface CallOptions {
  /** Receives what the function passes to `progress`. */
  onProgress?: (value: unknown) => void;
  /** Aborts the function's own signal; the call rejects with the signal's reason, at the latest two seconds later. */
  signal?: AbortSignal;
  /** Fails the call when it neither ends nor reports progress for so long. */
  stallMs?: number;
}

/** A page of the browser whose bundle's functions are callable by name. */
export interface Page {
  /**
   * Calls an exported function of the bundle. Plain data and typed arrays cross in both directions, arrays as binary
   * bodies. A KinemaError keeps its code and details; any other error becomes one line. Rejects with `device-lost` if the
   * page or the browser ends, `closed` after close().
   */
  call<Result>(name: string, args?: unknown, options?: CallOptions): Promise<Result>;
  /** Makes a file readable by the page (ranges included) and returns its address. */
  file(path: string): string;
  /** Address of the folder given as `roots[name]`. */
  root(name: string): string;
  close(): Promise<void>;
}

export interface PageOptions {
  /** Path of an ES module for browsers that exports `serve` of src/host/page/rpc.ts and the functions to call. */
  readonly bundle: string;
  /** Folders the page may read, by name. */
  readonly roots?: Readonly<Record<string, string>>;
}

/** Opens a page with `bundle` in it. Throws if the bundle does not load. */
export async function openPage(browser: Browser, options: PageOptions): Promise<Page> {
  const server = await startServer(options.roots);
  try {
    const tab = await browser.puppeteer.newPage();
    const link = new Link(tab, server);
    await link.load(server.file(options.bundle));
    return {
      call: (name, args, callOptions) => link.call(name, args, callOptions ?? {}) as never,
      file: (path) => server.file(path),
      root: (name) => `${server.base}/${encodeURIComponent(name)}`,
      close: () => link.close(),
    };
  } catch (error) {
    await server.close();
    throw failure(error, "the page did not open");
  }
}

/** Node's end of the connection to one page. */
class Link {
  private readonly tab: PuppeteerPage;
  private readonly server: Server;
  private readonly waiting = new Map<number, { reject(error: Error): void; progress(json: string): void }>();
  private next = 1;
  private broken: Error | null = null;

  constructor(tab: PuppeteerPage, server: Server) {
    this.tab = tab;
    this.server = server;
    tab.on("error", (error) => this.break(new KinemaError("device-lost", `the page crashed: ${error.message}`)));
    tab.on("close", () => this.break(new KinemaError("device-lost", "the browser ended or the page was closed")));
    tab.on("pageerror", (error) => this.interrupt(failure(error, "an error in the page")));
    if (process.env.KINEMA_DEBUG) tab.on("console", (message) => console.error(`page: ${message.text()}`));
  }

  async load(bundle: string): Promise<void> {
    const errors: string[] = [];
    this.tab.on("pageerror", (error) => errors.push(failure(error, "").message));
    await this.tab.exposeFunction("kinemaProgress", (id: number, json: string) => this.waiting.get(id)?.progress(json));
    const script = `import * as functions from "${bundle}"; functions.serve(functions);`;
    const html = `<!doctype html><meta charset="utf-8"><title>Kinema</title><script type="module">${script}</script>`;
    await this.tab.goto(this.server.bytes(html, "text/html; charset=utf-8").url);
    const ready = await this.tab.evaluate(() => globalThis.kinemaPage !== undefined);
    if (!ready)
      fail("bad-file", `the page's bundle did not load: ${errors[0] ?? "it does not call serve()"}; rebuild it`);
  }

  async call(name: string, args: unknown, options: CallOptions): Promise<unknown> {
    if (this.broken) throw this.broken;
    options.signal?.throwIfAborted();
    const id = this.next++;
    const { json, parts } = pack(args);
    const inputs = parts.length > 0 ? this.server.bytes(Buffer.concat(parts), "application/octet-stream") : null;
    const outputs = this.server.inbox();
    const message: CallMessage = { id, name, json, inputs: inputs?.url ?? null, outputs: outputs.url };
    try {
      const answer = await this.answer(message, options);
      if ("error" in answer) throw remoteFailure(answer.error);
      return unpack(answer.json, answer.posted ? (await outputs.body).buffer : new ArrayBuffer(0));
    } finally {
      inputs?.forget();
      outputs.forget();
    }
  }

  /** Sends the call; settles on the answer, a broken page, an abort or a stall, whichever is first. */
  private answer(message: CallMessage, options: CallOptions): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      let grace: NodeJS.Timeout | undefined;
      const stop = () => {
        this.abort(message.id);
        grace = setTimeout(() => settle(() => reject(options.signal!.reason)), ABORT_GRACE_MS);
      };
      const watchdog = this.watchdog(message, options.stallMs, (error) => settle(() => reject(error)));
      const settle = (finish: () => void) => {
        watchdog.stop();
        clearTimeout(grace);
        options.signal?.removeEventListener("abort", stop);
        this.waiting.delete(message.id);
        finish();
      };
      const progress = (json: string) => {
        watchdog.restart();
        options.onProgress?.(unpack(json, new ArrayBuffer(0)));
      };
      this.waiting.set(message.id, { reject: (error) => settle(() => reject(error)), progress });
      options.signal?.addEventListener("abort", stop);
      const reply = this.tab.evaluate((given) => globalThis.kinemaPage!.call(given), message);
      reply.then(
        (answer) => settle(() => (options.signal?.aborted ? reject(options.signal.reason) : resolve(answer))),
        // The page's end catches all errors of its functions, so this one is the connection's.
        (error) => this.break(new KinemaError("device-lost", failure(error, "the page or the browser ended").message)),
      );
    });
  }

  private watchdog(message: CallMessage, stallMs: number | undefined, expire: (error: Error) => void) {
    let timer: NodeJS.Timeout | undefined;
    const text = `the page made no progress with ${message.name} for ${stallMs} ms`;
    const stop = () => clearTimeout(timer);
    const restart = () => {
      stop();
      if (stallMs === undefined) return;
      timer = setTimeout(() => {
        this.abort(message.id);
        expire(new KinemaError("device-lost", text));
      }, stallMs);
    };
    restart();
    return { stop, restart };
  }

  private abort(id: number): void {
    this.tab.evaluate((given) => globalThis.kinemaPage?.abort(given), id).catch(() => {}); // a dead page has stopped
  }

  private interrupt(error: Error): void {
    for (const { reject } of [...this.waiting.values()]) reject(error);
  }

  private break(error: Error): void {
    this.broken ??= error;
    this.interrupt(this.broken);
  }

  async close(): Promise<void> {
    this.break(new KinemaError("closed", "the page was closed"));
    await Promise.race([this.tab.close().catch(() => {}), new Promise((done) => setTimeout(done, 3000).unref())]);
    await this.server.close();
  }
}
