/** Indices of the k largest values in descending order, ties by lower index. */
export function topK(values: Float64Array, k: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < values.length; i++) {
    let place = best.length;
    while (place > 0 && values[i]! > values[best[place - 1]!]!) place--;
    if (place >= k) continue;
    best.splice(place, 0, i);
    if (best.length > k) best.pop();
  }
  return best;
}

/**
 * The same with ties as PyTorch's CPU `torch.topk` leaves them. It promises no order among equal values, but has one: that of
 * libstdc++'s `nth_element` and `sort` (ATen/native/TopKImpl.h, bits/stl_algo.h). Router logits rounded to bf16 tie often
 * enough (at one token in thirty for 8 experts) that the bf16 references can't be followed without it.
 */
export function topKLikeTorch(values: Float64Array, k: number): number[] {
  const n = values.length;
  if (k * 64 <= n) return topK(values, k); // PyTorch takes partial_sort there; no gpt-oss has so many experts
  const queue = Array.from(values, (_, i) => i);
  const before = (a: number, b: number): boolean => values[a]! > values[b]!;
  const swap = (i: number, j: number): void => {
    [queue[i], queue[j]] = [queue[j]!, queue[i]!];
  };

  /** Moves the median of three to `to`. */
  const medianToFirst = (to: number, i: number, j: number, l: number): void => {
    const [a, b, c] = [queue[i]!, queue[j]!, queue[l]!];
    if (before(a, b)) swap(to, before(b, c) ? j : before(a, c) ? l : i);
    else swap(to, before(a, c) ? i : before(b, c) ? l : j);
  };

  /** Hoare's partition of [first, last) around the value at `pivot`. */
  const partition = (first: number, last: number, pivot: number): number => {
    for (;;) {
      while (before(queue[first]!, queue[pivot]!)) first++;
      last--;
      while (before(queue[pivot]!, queue[last]!)) last--;
      if (first >= last) return first;
      swap(first, last);
      first++;
    }
  };

  /** A stable sort of [first, last), as insertion sort is. */
  const insertionSort = (first: number, last: number): void => {
    const sorted = queue.slice(first, last).sort((a, b) => (before(a, b) ? -1 : before(b, a) ? 1 : 0));
    for (const [i, index] of sorted.entries()) queue[first + i] = index;
  };

  // nth_element: quickselect until 3 elements are left
  const nth = k - 1;
  let first = 0;
  let last = n;
  while (last - first > 3) {
    const middle = first + Math.floor((last - first) / 2);
    medianToFirst(first, first + 1, middle, last - 1);
    const cut = partition(first + 1, last, first);
    if (cut <= nth) first = cut;
    else last = cut;
  }
  insertionSort(first, last);
  insertionSort(0, nth);
  return queue.slice(0, k);
}
