// A page in headless Chromium for a test file.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll } from "vitest";
import { type Browser, launchBrowser } from "../../src/host/chromium.ts";
import { openPage, type Page } from "../../src/host/page.ts";

export interface PageFixture {
  readonly browser: Browser;
  /** Serves what the module exports. */
  readonly page: Page;
  /** A temporary folder. */
  readonly folder: string;
  /** The module as one script, in that folder. */
  readonly bundle: string;
}

/** Call once in a file, outside of any test. `entry` is a module that serves its functions; `roots`: folders that the page may read. */
export function usePage(entry: string, roots: Readonly<Record<string, string>> = {}): PageFixture {
  let folder: string;
  let browser: Browser;
  let page: Page;
  const bundle = () => join(folder, "page.js");
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "kinema-test-"));
    const options = { bundle: true, format: "esm", target: "es2022", logLevel: "error" } as const;
    await build({ ...options, entryPoints: [entry], outfile: bundle() });
    browser = await launchBrowser();
    page = await openPage(browser, { bundle: bundle(), roots });
  }, 120_000);
  afterAll(async () => {
    await page?.close();
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    get browser() {
      return browser;
    },
    get page() {
      return page;
    },
    get folder() {
      return folder;
    },
    get bundle() {
      return bundle();
    },
  };
}
