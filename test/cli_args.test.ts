import { spawn } from "node:child_process";
import { join } from "node:path";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import { parseArguments } from "../src/cli/args.ts";
import { type Command, type CommandContext, ON } from "../src/cli/command.ts";
import { main } from "../src/cli/main.ts";
import { nearest } from "../src/cli/nearest.ts";
import { createProgress } from "../src/cli/progress.ts";
import { fail } from "../src/core/fail.ts";

const probe = (run: (context: CommandContext) => Promise<void> = async () => {}): Command => ({
  name: "probe",
  summary: "try things out",
  positionals: [
    { name: "FIRST", text: "a file" },
    { name: "SECOND", text: "another" },
  ],
  flags: [
    { name: "json", text: "print JSON" },
    { name: "frames", value: "T", allowed: "count", text: "frames a clip" },
    { name: "set", value: "K=V", repeats: true, text: "a setting" },
    { name: "labels", value: "FILE", text: "one label a line" },
    ON,
  ],
  run,
});

function terminal(isTTY = false, columns = 60) {
  const written: string[] = [];
  return { isTTY, columns, write: (text: string) => written.push(text), text: () => written.join("") };
}

async function run(argv: string[], command = probe()) {
  const [stdout, stderr] = [terminal(), terminal()];
  const code = await main(argv, { stdout, stderr, signal: new AbortController().signal }, [command]);
  return { code, out: stdout.text(), err: stderr.text() };
}

describe("parseArguments", () => {
  it("reads flags, values, repeats and positionals in any order", () => {
    const args = parseArguments(probe(), [
      "a",
      "--set",
      "k=v",
      "--frames=16",
      "--json",
      "b",
      "--set=x=y=z",
      "--on",
      "chromium",
    ]);
    expect([args.positional("FIRST"), args.positional("SECOND")]).toEqual(["a", "b"]);
    expect([args.has("json"), args.has("labels"), args.number("frames"), args.text("on")]).toEqual([
      true,
      false,
      16,
      "chromium",
    ]);
    expect(args.all("set")).toEqual(["k=v", "x=y=z"]);
    expect([args.text("labels"), args.number("absent"), args.all("labels")]).toEqual([undefined, undefined, []]);
  });

  it("takes everything after -- and a lone - as positionals", () => {
    const args = parseArguments(probe(), ["-", "--", "--json"]);
    expect([args.positional("FIRST"), args.positional("SECOND"), args.has("json")]).toEqual(["-", "--json", false]);
  });

  it.each([
    ["a b --jason", "unknown flag --jason; did you mean --json?"],
    ["a b --lables x", "unknown flag --lables; did you mean --labels?"],
    ["a b --zzzzzz", "unknown flag --zzzzzz"],
    ["a b -j", "unknown flag -j"],
    ["a b --labels", "--labels needs a value: --labels FILE"],
    ["a b --labels --json", "--labels needs a value: --labels FILE"],
    ["a b --labels=", "--labels needs a value: --labels FILE"],
    ["a b --json=1", "--json takes no value"],
    ["a b --frames 0", "--frames 0 is not a whole number from 1"],
    ["a b --frames 8.5", "--frames 8.5 is not a whole number from 1"],
    ["a b --frames 1e3", "--frames 1e3 is not a whole number from 1"],
    ["a b --frames 8 --frames 8", "--frames is given twice; give it once"],
    ["a b --on chromum", "--on chromum is not one of node, chromium; did you mean chromium?"],
    ["a", "SECOND is missing (another)"],
    ["a b c", 'unexpected argument "c"'],
  ])("refuses: %s", (line, message) => {
    const parse = () => parseArguments(probe(), line.split(" "));
    expect(parse).toThrow(
      expect.objectContaining({ code: "usage", message: `${message} (kinema probe --help lists what it takes)` }),
    );
  });
});

describe("nearest", () => {
  it("counts swaps, slips and beginnings, and gives up on what is far", () => {
    const names = ["classify", "run", "verify", "inspect"];
    expect(["clasify", "classfiy", "in", "verfiy", "rnu", "train", ""].map((word) => nearest(word, names))).toEqual([
      "classify",
      "classify",
      "inspect",
      "verify",
      "run",
      null,
      null,
    ]);
  });
});

describe("main", () => {
  it("prints help of the program and of a command from the table, on stdout", async () => {
    const program = await run(["--help"]);
    expect([program.code, program.err]).toEqual([0, ""]);
    expect(program.out).toMatch(/^ {2}probe FIRST SECOND {2}try things out$/m);
    const command = await run(["probe", "--frames", "nonsense", "--help"]);
    expect([command.code, command.err]).toEqual([0, ""]);
    for (const word of [
      "FIRST",
      "--json",
      "--frames T",
      "--set K=V",
      "(may be repeated)",
      "node, chromium",
      "--help",
    ]) {
      expect(command.out).toContain(word);
    }
  });

  it("prints the version", async () => {
    expect(await run(["--version"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      err: "",
    });
  });

  it("gives the command its arguments and prints what it prints", async () => {
    const command = probe(async ({ args, print, note }) => {
      print(`${args.positional("FIRST")}\n`);
      note("beside");
    });
    expect(await run(["probe", "x", "y"], command)).toEqual({ code: 0, out: "x\n", err: "beside\n" });
  });

  const KEEP = "kinema: ";
  it.each([
    [[], `${KEEP}no command; give one of probe, or --help\n`],
    [["prob"], `${KEEP}unknown command prob; did you mean probe?\n`],
    [["--verison"], `${KEEP}unknown flag --verison; give one of probe, or --help\n`],
    [["probe", "a"], `${KEEP}SECOND is missing (another) (kinema probe --help lists what it takes)\n`],
  ])("answers misuse %j with one line and code 2", async (argv, err) => {
    expect(await run(argv)).toEqual({ code: 2, out: "", err });
  });

  it("turns errors into one line and a code: 1 for a failed check, 2 for anything else", async () => {
    const check = probe(async () => fail("not-converged", "conv1 differs by 0.1"));
    expect(await run(["probe", "a", "b"], check)).toEqual({ code: 1, out: "", err: "kinema: conv1 differs by 0.1\n" });
    const file = probe(async () => fail("bad-file", "x.pth: bad"));
    expect(await run(["probe", "a", "b"], file)).toEqual({ code: 2, out: "", err: "kinema: x.pth: bad\n" });
    const slip = probe(async () => {
      throw new TypeError("first\n   second\n");
    });
    expect(await run(["probe", "a", "b"], slip)).toEqual({ code: 2, out: "", err: "kinema: first second\n" });
  });
});

describe("progress", () => {
  it("draws on a terminal, at most every 80 ms, first and last always, within the width", () => {
    const screen = terminal(true, 40);
    let time = 0;
    const progress = createProgress(screen, () => time);
    progress.update("decode", 0);
    for (time = 1; time < 80; time++) progress.update("decode", time / 200);
    expect(screen.text()).toBe(`\r${"░".repeat(24)}   0% decode\x1b[K`);
    progress.update("decode", 0.5);
    expect(screen.text()).toContain(`\r${"█".repeat(12)}${"░".repeat(12)}  50% decode\x1b[K`);
    progress.update("decode", 1);
    expect(screen.text()).toContain("100% decode");
    progress.update("a label that is far too long for it", Number.NaN);
    const lines = screen
      .text()
      .split("\r")
      .map((line) => line.replace("\x1b[K", ""));
    expect(Math.max(...lines.map((line) => line.length))).toBe(39);
    progress.clear();
    expect(screen.text().endsWith("\r\x1b[K")).toBe(true);
  });

  it("stays silent where it is no terminal", () => {
    const file = terminal(false);
    const progress = createProgress(file);
    progress.update("decode", 0.3);
    progress.clear();
    expect(file.text()).toBe("");
  });

  it("is cleared before other output", async () => {
    const screen = terminal(true);
    const command = probe(async ({ progress, print }) => {
      progress.update("run", 0.25);
      print("label\n");
    });
    const streams = { stdout: screen, stderr: screen, signal: new AbortController().signal };
    expect(await main(["probe", "a", "b"], streams, [command])).toBe(0);
    expect(screen.text()).toContain("25% run\x1b[K\r\x1b[Klabel\n");
  });
});

describe("the process", () => {
  /** A program whose only command waits for the signal, or for ever. */
  const source = `
    import { commands } from "./src/cli/commands.ts";
    import { start } from "./src/cli/main.ts";
    const run = ({ args, signal, print }) => new Promise((done, failed) => {
      print("ready\\n");
      setInterval(() => {}, 1000);
      if (args.has("polite")) signal.addEventListener("abort", () => failed(signal.reason));
      if (args.has("flood")) for (let i = 0; i < 20000; i++) print("a line that fills the pipe\\n");
      if (args.has("late")) setTimeout(() => { throw new Error("late\\nerror"); }, 5);
    });
    const flags = ["polite", "deaf", "flood", "late"].map((name) => ({ name, text: name }));
    commands.unshift({ name: "wait", summary: "", positionals: [], flags, run });
    await start();`;
  const outfile = join(process.cwd(), "node_modules/.cache/kinema/cli_test.mjs");

  async function end(flag: string, act: (child: ReturnType<typeof spawn>) => void) {
    const stdin = { contents: source, resolveDir: process.cwd() };
    await build({
      stdin,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      packages: "external",
      outfile,
    });
    const child = spawn(process.execPath, [outfile, "wait", flag], { stdio: ["ignore", "pipe", "pipe"] });
    let err = "";
    child.stderr.on("data", (data) => {
      err += data;
    });
    child.stdout.once("data", () => act(child));
    const code = await new Promise((done) => child.on("close", (status, signal) => done(status ?? signal)));
    return { code, err };
  }

  it("ends with 130 on SIGINT and 143 on SIGTERM, with one line", async () => {
    expect(await end("--polite", (child) => child.kill("SIGINT"))).toEqual({
      code: 130,
      err: "kinema: stopped by SIGINT\n",
    });
    expect(await end("--polite", (child) => child.kill("SIGTERM"))).toMatchObject({ code: 143 });
  });

  it("ends a command that does not listen, within seconds", async () => {
    const begin = performance.now();
    expect(await end("--deaf", (child) => child.kill("SIGINT"))).toEqual({ code: 130, err: "" });
    expect(performance.now() - begin).toBeLessThan(10_000);
  });

  it("does not complain when its reader has gone", async () => {
    expect(await end("--flood", (child) => child.stdout!.destroy())).toEqual({ code: 0, err: "" });
  });

  it("reports an uncaught error in one line", async () => {
    expect(await end("--late", () => {})).toEqual({ code: 2, err: "kinema: late error\n" });
  });
});
