#!/usr/bin/env node
import { existsSync } from "node:fs";

const program = new URL("../dist/cli.js", import.meta.url);
if (existsSync(program)) {
  const { start } = await import(program.href);
  await start();
} else {
  console.error("kinema: dist/cli.js is missing; build it with npm run build");
  process.exitCode = 2;
}
