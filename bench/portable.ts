// The bench that tools/bench_pack.mjs packs: Node and Dawn alone, no browser, no rivals.
import { benchCommand } from "./command.ts";
import { onNode } from "./on_node.ts";

/** Put in when it is packed: the commit of the source. */
declare const BENCH_COMMIT: string;

await benchCommand(process.argv.slice(2), {
  ...{ called: "./run.sh", commit: BENCH_COMMIT, hosts: { node: onNode }, beside: null },
});
