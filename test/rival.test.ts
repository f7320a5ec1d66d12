// The timing of the rival comparison (bench/rival/compare.ts), without the rival.
import { describe, expect, it } from "vitest";
import { interleave, median } from "../bench/rival/compare.ts";

describe("rival comparison", () => {
  it("takes the median of odd and even counts", () => {
    expect(median([3, 1, 10])).toBe(3);
    expect(median([4, 1, 2, 30])).toBe(3);
  });

  it("lets every contender run once a round, in turning order, and keeps the cold run apart", async () => {
    const order: string[] = [];
    const contender = (name: string) => ({
      name,
      run: async () => {
        order.push(name);
        return Float32Array.of(order.length);
      },
    });
    const entries = await interleave([contender("a"), contender("b")], 3);
    expect(order.join("")).toBe("abbaabba");
    expect(entries.map(({ timing }) => timing.warmMs.length)).toEqual([3, 3]);
    expect(entries.map(({ timing }) => timing.name)).toEqual(["a", "b"]);
    expect(entries.map(({ output }) => output[0])).toEqual([8, 7]);
  });
});
