/**
 * Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a pure function
 * from a key and a counter to 64 random bits. Drawing by position makes a token's luck independent of how many draws came
 * before, so text is reproducible across batching, prefix reuse and regeneration.
 */
export function threefry2x32(
  key: readonly [number, number],
  counter: readonly [number, number],
): [number, number] {
  const keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1bd11bda];
  let x0 = (counter[0] + keys[0]!) | 0;
  let x1 = (counter[1] + keys[1]!) | 0;
  for (let round = 0; round < 20; round++) {
    const rotation = ROTATIONS[round % 8]!;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << rotation) | (x1 >>> (32 - rotation))) ^ x0;
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      x0 = (x0 + keys[injection % 3]!) | 0;
      x1 = (x1 + keys[(injection + 1) % 3]! + injection) | 0;
    }
  }
  return [x0 >>> 0, x1 >>> 0];
}

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24];

/** A number in [0, 1) of 53 random bits, for a seed (any safe integer) and a position. */
export function uniform(seed: number, position: number): number {
  const key: [number, number] = [(seed % 2 ** 32) | 0, Math.floor(seed / 2 ** 32) | 0];
  const [high, low] = threefry2x32(key, [position, 0]);
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53;
}
