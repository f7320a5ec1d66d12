import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { launchBrowser } from "../../src/host/chromium.ts";
import { openPage } from "../../src/host/page.ts";

/** Draws the clip in a headless browser and writes `motion.webm` and `motion.json` (what it shows, by time) to `folder`. */
export async function render(bundle: string, folder: string): Promise<void> {
  const browser = await launchBrowser({ onFirst: console.error });
  try {
    console.error(browser.adapterDescription);
    const page = await openPage(browser, { bundle });
    let shown = -1;
    const onProgress = (part: unknown) => {
      const percent = Math.floor(Number(part) * 20) * 5;
      if (percent > shown) console.error(`${percent} %`);
      shown = Math.max(shown, percent);
    };
    const { file, truth } = await page.call<{ file: Uint8Array; truth: object }>("renderClip", {}, { onProgress });
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "motion.webm"), file);
    await writeFile(join(folder, "motion.json"), `${JSON.stringify(truth, null, 2)}\n`);
    console.error(`${join(folder, "motion.webm")}: ${(file.length / 1000).toFixed(0)} kB`);
    await page.close();
  } finally {
    await browser.close();
  }
}
