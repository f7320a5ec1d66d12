import { rmSync } from "node:fs";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const actions = new Set<() => void>();

/**
 * Runs `action` (synchronous) when this process ends: normally, by process.exit, by an uncaught error, or by SIGINT,
 * SIGTERM or SIGHUP where nobody else handles them. Returns a function that takes it back and says whether it was there.
 */
export function atExit(action: () => void): () => boolean {
  if (actions.size === 0) listen();
  actions.add(action);
  return () => {
    const there = actions.delete(action);
    if (there && actions.size === 0) unlisten();
    return there;
  };
}

/**
 * A file or folder, there or not yet, that is in nobody's way once the work with it is over: it is removed when the returned function is called, or when this process
 * ends before that, as {@link atExit} says. What was renamed meanwhile stays.
 */
export function temporary(path: string): () => void {
  const remove = () => rmSync(path, { recursive: true, force: true });
  const forget = atExit(remove);
  return () => {
    forget();
    remove();
  };
}

function listen(): void {
  process.on("exit", runAll);
  for (const signal of SIGNALS) process.on(signal, onSignal);
}

function unlisten(): void {
  process.off("exit", runAll);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}

function runAll(): void {
  for (const action of [...actions]) {
    actions.delete(action);
    action();
  }
}

function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return; // the program has its own way to end, which ends in "exit"
  runAll();
  unlisten();
  process.kill(process.pid, signal); // as if there had been no listener
}
