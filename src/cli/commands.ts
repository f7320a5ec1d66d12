import { augmentCommand } from "./augment.ts";
import { classifyCommand } from "./classify.ts";
import type { Command } from "./command.ts";
import { compressCommand } from "./compress.ts";
import { cutCommand } from "./cut.ts";
import { decodeCommand } from "./decode.ts";
import { infoCommand } from "./info.ts";
import { inspectCommand } from "./inspect_command.ts";
import { profileCommand } from "./profile.ts";
import { runCommand } from "./run.ts";
import { searchCommand } from "./search.ts";
import { tuneCommand } from "./tune.ts";
import { verifyCommand } from "./verify.ts";

/** Every command, in the order of help. */
export const commands: readonly Command[] = [
  classifyCommand,
  runCommand,
  verifyCommand,
  inspectCommand,
  profileCommand,
  tuneCommand,
  compressCommand,
  decodeCommand,
  infoCommand,
  cutCommand,
  searchCommand,
  augmentCommand,
];
