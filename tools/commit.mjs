import { execFileSync } from "node:child_process";

/** The commit of the source in `root`, with + where the tree differs from it; "unknown" outside of a repository. */
export function commitOf(root) {
  const git = (...args) =>
    execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  try {
    return git("rev-parse", "--short", "HEAD").trim() + (git("status", "--porcelain", "src", "kernels") ? "+" : "");
  } catch {
    return "unknown";
  }
}
