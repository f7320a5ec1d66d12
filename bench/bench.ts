// The bench without a page to look at: ceilings, every kernel, every model; with --beside, Kinema in turns with its rivals.
//   npm run bench -- --on chromium|node|deno [--json F] [--case NAME ...] [--quick] [--tune] [--list]
//   npm run bench -- --beside all|RIVAL ... [--case NAME ...] [--rounds N] [--budget SECONDS] [--json F] [--list]
import { commitOf } from "../tools/commit.mjs";
import { benchCommand } from "./command.ts";
import { HOSTS } from "./hosts.ts";
import { benchBeside } from "./rival/headless.ts";

const surroundings = { called: "npm run bench --", commit: commitOf(process.cwd()), hosts: HOSTS, beside: benchBeside };
await benchCommand(process.argv.slice(2), surroundings);
