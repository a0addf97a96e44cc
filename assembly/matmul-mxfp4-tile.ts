/**
 * MXFP4 × int16 (int8 activations come as int16 too), many tokens, with the weights of matmul-mxfp4-int8.ts.
 *
 * A block of 4 rows is unpacked once and meets all tokens. What is unpacked goes through memory: V8 moves computations,
 * though not loads, into the loop that needs their results, and would unpack the weights again for every few tokens.
 */
import { lowE8M0 } from "./scales";
import { FP4, UPPER_NIBBLES } from "./tables";
import { firstHalf, secondHalf, storeTotals } from "./tile16";
import { lookUp } from "./vectors";

/**
 * y[token][row] = Σ over blocks of float(S) · (scale · d), S = Σ w · q, for rows [0, 8 · groups); y [tokens, stride] floats.
 *
 * @param q [blocks, tokens, 32] int16 and `d` [blocks, tokens] (ignored, factor; quantize.ts, tile)
 * @param totals room for 32 bytes a token, and 272
 */
export function matmul_mxfp4_tile(
  codes: usize, scales: usize, q: usize, d: usize, y: usize, groups: i32, blocks: i32,
  tokens: i32, stride: i32, totals: usize,
): void {
  const table = v128.load(FP4), mask = v128.load(UPPER_NIBBLES);
  const sums = tokens << 4, e = totals + 2 * sums, w = e + 16;
  for (let half = 0; half < groups << 1; half++) {
    memory.fill(totals, 0, sums);
    let code = codes + (half >> 1) * (blocks << 7) + ((half & 1) << 4);
    let scale = scales + (half >> 1) * (blocks << 3) + ((half & 1) << 2);
    let x = q, dAt = d;
    for (let n = 0; n < blocks; n++) {
      unpack(v128.load(code), w, table, mask);
      unpack(v128.load(code, 32), w + 64, table, mask);
      unpack(v128.load(code, 64), w + 128, table, mask);
      unpack(v128.load(code, 96), w + 192, table, mask);
      v128.store(e, lowE8M0(scale));
      firstHalf(x, totals, sums, v128.load(w), v128.load(w, 16), v128.load(w, 32), v128.load(w, 48),
        v128.load(w, 64), v128.load(w, 80), v128.load(w, 96), v128.load(w, 112));
      secondHalf(x, dAt, v128.load(e), totals, sums, v128.load(w, 128), v128.load(w, 144), v128.load(w, 160),
        v128.load(w, 176), v128.load(w, 192), v128.load(w, 208), v128.load(w, 224), v128.load(w, 240));
      code += 128;
      scale += 8;
      x += tokens << 6;
      dAt += tokens << 3;
    }
    storeTotals(totals, tokens, y + (half << 4), stride);
  }
}

/**
 * 8 columns of 4 rows to int16: the pairs 0 4, 1 5, 2 6, 3 7. A 16-bit lane holds the codes of columns c … c + 3 from its low
 * nibble up; each in turn goes to the upper byte, where the table makes it a value, and down with its sign.
 */
// @ts-ignore: decorator
@inline
function unpack(c: v128, w: usize, table: v128, mask: v128): void {
  v128.store(w, i16x8.shr_s(lookUp(table, v128.and(i16x8.shl(c, 8), mask)), 8));
  v128.store(w, i16x8.shr_s(lookUp(table, v128.and(i16x8.shl(c, 4), mask)), 8), 16);
  v128.store(w, i16x8.shr_s(lookUp(table, v128.and(c, mask)), 8), 32);
  v128.store(w, i16x8.shr_s(lookUp(table, v128.and(i16x8.shr_u(c, 4), mask)), 8), 48);
}
