import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Dawn reads Vulkan's environment variables with getenv: only a process, not a worker thread, can set them.
    pool: "forks",
    globalSetup: ["test/setup/global.ts"],
    testTimeout: 20_000,
  },
});
