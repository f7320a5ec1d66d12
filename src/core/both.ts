interface Made {
  dispose(): void;
}

/** Both of what is being made; if one fails, the other is disposed of. @throws what failed */
export async function both<A extends Made, B extends Made>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  try {
    return await Promise.all([first, second]);
  } catch (error) {
    for (const result of await Promise.allSettled([first, second]))
      if (result.status === "fulfilled") result.value.dispose();
    throw error;
  }
}
