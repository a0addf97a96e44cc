/**
 * Attention of one token and one key-value head, with the G query heads that share it, over a ring of keys and values:
 * position p lies in slot p mod capacity, and capacity is a multiple of 32.
 *
 * Keys are stored 4 positions at a time, [slots / 4, headDim, 4], so that a lane holds one key and no product
 * crosses lanes; values row by row, [slots, headDim]. Either may be bfloat16 (T = u16). Scores run from `base`, a multiple of 8.
 */
import { exp } from "./exp";
import { accumulate, load4 } from "./vectors";

export function store_f32(k: usize, v: usize, keys: usize, values: usize, capacity: i32, slot: i32, heads: i32, headDim: i32): void {
  storeRow<f32>(k, v, keys, values, capacity, slot, heads, headDim);
}

export function store_bf16(k: usize, v: usize, keys: usize, values: usize, capacity: i32, slot: i32, heads: i32, headDim: i32): void {
  storeRow<u16>(k, v, keys, values, capacity, slot, heads, headDim);
}

/** Puts one token's keys and values [heads, headDim] into the ring. */
function storeRow<T>(k: usize, v: usize, keys: usize, values: usize, capacity: i32, slot: i32, heads: i32, headDim: i32): void {
  const size = <i32>sizeof<T>();
  for (let h = 0; h < heads; h++) {
    let toKey = keys + (h * capacity * headDim + (slot >> 2) * headDim * 4 + (slot & 3)) * size;
    let toValue = values + (h * capacity + slot) * headDim * size;
    for (let d = 0; d < headDim; d++) {
      put<T>(toKey, load<f32>(k));
      put<T>(toValue, load<f32>(v));
      toKey += 4 * size;
      toValue += size;
      k += 4;
      v += 4;
    }
  }
}

function put<T>(to: usize, value: f32): void {
  if (sizeof<T>() == 4) {
    store<f32>(to, value);
  } else {
    const bits = reinterpret<u32>(value);
    const rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16; // to nearest, ties to even
    store<u16>(to, value == value ? <u16>rounded : 0x7fc0);
  }
}

/** Copies positions [first, end) from one ring to another of another capacity. */
export function resize_f32(from: usize, to: usize, oldCapacity: i32, capacity: i32, first: i32, end: i32, heads: i32, headDim: i32, isKeys: i32): void {
  resize<f32>(from, to, oldCapacity, capacity, first, end, heads, headDim, isKeys);
}

export function resize_bf16(from: usize, to: usize, oldCapacity: i32, capacity: i32, first: i32, end: i32, heads: i32, headDim: i32, isKeys: i32): void {
  resize<u16>(from, to, oldCapacity, capacity, first, end, heads, headDim, isKeys);
}

function resize<T>(from: usize, to: usize, oldCapacity: i32, capacity: i32, first: i32, end: i32, heads: i32, headDim: i32, isKeys: i32): void {
  const size = <i32>sizeof<T>();
  for (let h = 0; h < heads; h++) {
    for (let p = first; p < end; p++) {
      const a = p % oldCapacity, b = p % capacity;
      if (isKeys) {
        let source = from + (h * oldCapacity * headDim + (a >> 2) * headDim * 4 + (a & 3)) * size;
        let target = to + (h * capacity * headDim + (b >> 2) * headDim * 4 + (b & 3)) * size;
        for (let d = 0; d < headDim; d++) {
          store<T>(target, load<T>(source));
          source += 4 * size;
          target += 4 * size;
        }
      } else {
        memory.copy(to + (h * capacity + b) * headDim * size, from + (h * oldCapacity + a) * headDim * size, headDim * size);
      }
    }
  }
}

/** out[g, p − base] = (Σ over d of q[g, d] · key[p, d]) · scale, one product after the other, for p in [base, end), rounded up to 8. */
export function scores_f32(q: usize, keys: usize, capacity: i32, headDim: i32, group: i32, base: i32, end: i32, scale: f32, out: usize, stride: i32): void {
  scores<f32>(q, keys, capacity, headDim, group, base, end, scale, out, stride);
}

export function scores_bf16(q: usize, keys: usize, capacity: i32, headDim: i32, group: i32, base: i32, end: i32, scale: f32, out: usize, stride: i32): void {
  scores<u16>(q, keys, capacity, headDim, group, base, end, scale, out, stride);
}

function scores<T>(q: usize, keys: usize, capacity: i32, headDim: i32, group: i32, base: i32, end: i32, scale: f32, out: usize, stride: i32): void {
  const size = <i32>sizeof<T>();
  const row = headDim << 2;
  const next = stride << 2;
  const scales = f32x4.splat(scale);
  const step = headDim * 4 * size; // one group of 4 keys
  for (let p = base; p < end; p += 8) {
    const first = keys + (p % capacity) * headDim * size;
    const endOfKeys = first + step;
    let to = out + ((p - base) << 2);
    let at = q;
    let g = 0;
    for (; g + 4 <= group; g += 4) {
      let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
      for (let k = first; k < endOfKeys; k += 4 * size) {
        const k0 = load4<T>(k), k1 = load4<T>(k + step);
        let x = v128.load32_splat(at);
        a0 = f32x4.add(a0, f32x4.mul(x, k0));
        a1 = f32x4.add(a1, f32x4.mul(x, k1));
        x = v128.load32_splat(at + row);
        b0 = f32x4.add(b0, f32x4.mul(x, k0));
        b1 = f32x4.add(b1, f32x4.mul(x, k1));
        x = v128.load32_splat(at + 2 * row);
        c0 = f32x4.add(c0, f32x4.mul(x, k0));
        c1 = f32x4.add(c1, f32x4.mul(x, k1));
        x = v128.load32_splat(at + 3 * row);
        d0 = f32x4.add(d0, f32x4.mul(x, k0));
        d1 = f32x4.add(d1, f32x4.mul(x, k1));
        at += 4;
      }
      v128.store(to, f32x4.mul(a0, scales));
      v128.store(to, f32x4.mul(a1, scales), 16);
      v128.store(to + next, f32x4.mul(b0, scales));
      v128.store(to + next, f32x4.mul(b1, scales), 16);
      v128.store(to + 2 * next, f32x4.mul(c0, scales));
      v128.store(to + 2 * next, f32x4.mul(c1, scales), 16);
      v128.store(to + 3 * next, f32x4.mul(d0, scales));
      v128.store(to + 3 * next, f32x4.mul(d1, scales), 16);
      to += 4 * next;
      at += 3 * row;
    }
    for (; g < group; g++) {
      let a0 = f32x4.splat(0), a1 = a0;
      for (let k = first; k < endOfKeys; k += 4 * size) {
        const x = v128.load32_splat(at);
        a0 = f32x4.add(a0, f32x4.mul(x, load4<T>(k)));
        a1 = f32x4.add(a1, f32x4.mul(x, load4<T>(k + step)));
        at += 4;
      }
      v128.store(to, f32x4.mul(a0, scales));
      v128.store(to, f32x4.mul(a1, scales), 16);
      to += next;
    }
  }
}

/**
 * One row of scores to weights in place, with the sink: e_p / (Σ e + e_sink), e = exp(s − max). Only [low, high) of the n
 * scores (a multiple of 8) are visible; the others become 0. The sum is in float64, four partial sums, by position mod 4.
 *
 * @param share where the sink's share goes
 */
export function sink_softmax(s: usize, n: i32, low: i32, high: i32, sink: f32, share: usize): void {
  for (let i = 0; i < low; i++) store<f32>(s + (i << 2), -Infinity);
  for (let i = high; i < n; i++) store<f32>(s + (i << 2), -Infinity);
  const end = s + (n << 2);
  let m = f32x4.splat(sink);
  for (let at = s; at < end; at += 16) m = f32x4.pmax(m, v128.load(at));
  m = f32x4.pmax(m, i64x2.shuffle(m, m, 1, 0));
  m = f32x4.pmax(m, i32x4.shuffle(m, m, 1, 0, 3, 2));

  let ab = f64x2.splat(0), cd = ab;
  for (let at = s; at < end; at += 16) {
    const e = exp(f32x4.sub(v128.load(at), m));
    v128.store(at, e);
    ab = f64x2.add(ab, f64x2.promote_low_f32x4(e));
    cd = f64x2.add(cd, f64x2.promote_low_f32x4(i64x2.shuffle(e, e, 1, 0)));
  }
  const sinkPower = f32x4.extract_lane(exp(f32x4.sub(f32x4.splat(sink), m)), 0);
  const sum = <f32>(f64x2.extract_lane(ab, 0) + f64x2.extract_lane(ab, 1)
    + (f64x2.extract_lane(cd, 0) + f64x2.extract_lane(cd, 1)) + <f64>sinkPower);
  const sums = f32x4.splat(sum);
  for (let at = s; at < end; at += 16) v128.store(at, f32x4.div(v128.load(at), sums));
  store<f32>(share, sinkPower / sum);
}

/**
 * out[g, d] = Σ over p in [low, high) of w[g, p − base] · value[p, d], in float32: over blocks of 32 positions, from
 * multiples of 32 on, and then over those sums.
 */
export function context_f32(w: usize, stride: i32, values: usize, capacity: i32, headDim: i32, group: i32, base: i32, low: i32, high: i32, out: usize): void {
  context<f32>(w, stride, values, capacity, headDim, group, base, low, high, out);
}

export function context_bf16(w: usize, stride: i32, values: usize, capacity: i32, headDim: i32, group: i32, base: i32, low: i32, high: i32, out: usize): void {
  context<u16>(w, stride, values, capacity, headDim, group, base, low, high, out);
}

function context<T>(w: usize, stride: i32, values: usize, capacity: i32, headDim: i32, group: i32, base: i32, low: i32, high: i32, out: usize): void {
  const size = <i32>sizeof<T>();
  const row = headDim << 2;
  const rowOfValues = headDim * size;
  const next = stride << 2;
  const pace = rowOfValues / max(1, (group >> 2) * (headDim >> 3));
  memory.fill(out, 0, group * row);
  for (let first = low; first < high; first = (first & ~31) + 32) {
    const end = min((first & ~31) + 32, high);
    const from = values + (first % capacity) * rowOfValues;
    const weights = w + ((first - base) << 2);
    const endOfWeights = weights + ((end - first) << 2);
    // The loops below go through a block by columns, which no processor foresees. So they also touch the next block, in
    // order and spread evenly, whose values are then in a cache when their turn comes.
    let ahead = values + ((end < high ? end : first) % capacity) * rowOfValues;
    let g = 0;
    for (; g + 4 <= group; g += 4) {
      for (let d = 0; d < headDim; d += 8) {
        let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
        let v = from + d * size;
        const rows = g * next;
        for (let at = weights + rows; at < endOfWeights + rows; at += 4) {
          const v0 = load4<T>(v), v1 = load4<T>(v + 4 * size);
          let x = v128.load32_splat(at);
          a0 = f32x4.add(a0, f32x4.mul(x, v0));
          a1 = f32x4.add(a1, f32x4.mul(x, v1));
          x = v128.load32_splat(at + next);
          b0 = f32x4.add(b0, f32x4.mul(x, v0));
          b1 = f32x4.add(b1, f32x4.mul(x, v1));
          x = v128.load32_splat(at + 2 * next);
          c0 = f32x4.add(c0, f32x4.mul(x, v0));
          c1 = f32x4.add(c1, f32x4.mul(x, v1));
          x = v128.load32_splat(at + 3 * next);
          d0 = f32x4.add(d0, f32x4.mul(x, v0));
          d1 = f32x4.add(d1, f32x4.mul(x, v1));
          v += rowOfValues;
          load<u8>(ahead);
          ahead += pace;
        }
        const to = out + g * row + (d << 2);
        accumulate(to, a0, a1);
        accumulate(to + row, b0, b1);
        accumulate(to + 2 * row, c0, c1);
        accumulate(to + 3 * row, d0, d1);
      }
    }
    for (; g < group; g++) {
      for (let d = 0; d < headDim; d += 8) {
        let a0 = f32x4.splat(0), a1 = a0;
        let v = from + d * size;
        const rows = g * next;
        for (let at = weights + rows; at < endOfWeights + rows; at += 4) {
          const x = v128.load32_splat(at);
          a0 = f32x4.add(a0, f32x4.mul(x, load4<T>(v)));
          a1 = f32x4.add(a1, f32x4.mul(x, load4<T>(v + 4 * size)));
          v += rowOfValues;
        }
        accumulate(out + g * row + (d << 2), a0, a1);
      }
    }
  }
}
