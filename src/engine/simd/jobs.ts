/**
 * What threads do: an operation is a list of jobs, rows of numbers in shared memory, which whoever is free takes one by one.
 * Each job computes its values in one fixed order, so who runs it, and when, changes no bit.
 */
import { KERNEL_NAMES, type KernelName, type Kernels } from "./kernels.ts";

/** Numbers a job has at most; those that a kind has no use for are left as they are. */
export const JOB_FIELDS = 28;
/** Jobs of one operation at most; longer lists go in parts. */
export const MAX_JOBS = 4096;

const CALL = 0;
const MATMUL = 1;
const ATTENTION = 2;

/** One memory as a thread sees it. */
export interface ArenaView {
  readonly memory: WebAssembly.Memory;
  readonly kernels: Kernels;
  bytes: Uint8Array;
}

/** A thread's own view of everything. */
export interface Thread {
  readonly index: number;
  /** By arena id; the first is the home of activations. */
  readonly arenas: Map<number, ArenaView>;
  readonly jobs: Float64Array;
}

export function createArenaView(memory: WebAssembly.Memory, module: WebAssembly.Module): ArenaView {
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  return { memory, kernels: instance.exports as unknown as Kernels, bytes: new Uint8Array(memory.buffer) };
}

/** The memory's bytes: a view made before it grew is too short. */
function bytesOf(arena: ArenaView): Uint8Array {
  const { buffer } = arena.memory;
  if (arena.bytes.buffer !== buffer) arena.bytes = new Uint8Array(buffer);
  return arena.bytes;
}

export function runJob(thread: Thread, index: number): void {
  const at = index * JOB_FIELDS;
  const { jobs } = thread;
  switch (jobs[at]) {
    case CALL:
      runCall(thread, at);
      break;
    case MATMUL:
      runMatmul(thread, at);
      break;
    case ATTENTION:
      runAttention(thread, at);
      break;
  }
}

/** A plain kernel call. */
export function callJob(arena: number, kernel: KernelName, ...args: number[]): number[] {
  return [CALL, arena, KERNEL_NAMES.indexOf(kernel), ...args];
}

function runCall({ jobs, arenas }: Thread, at: number): void {
  const arena = arenas.get(jobs[at + 1]!)!;
  const j = at + 3;
  // a kernel ignores arguments beyond its own
  arena.kernels[KERNEL_NAMES[jobs[at + 2]!]!](
    jobs[j]!,
    jobs[j + 1]!,
    jobs[j + 2]!,
    jobs[j + 3]!,
    jobs[j + 4]!,
    jobs[j + 5]!,
    jobs[j + 6]!,
    jobs[j + 7]!,
    jobs[j + 8]!,
    jobs[j + 9]!,
    jobs[j + 10]!,
  );
}

/** Rows of a matrix times some tokens. */
export interface MatmulJob {
  /** Where the matrix lies, and the first of its rows that this job takes. */
  readonly arena: number;
  readonly weights: number;
  readonly scales: number;
  /** The kernel, how many tokens it takes at a time (all as a tile, or a few), and the one for those that are left over. */
  readonly kernel: KernelName;
  readonly together: "tile" | 1 | 2 | 4;
  readonly one: KernelName;
  /** Groups of 8 rows (quantised) or 16. */
  readonly groups: number;
  readonly groupRows: number;
  readonly firstRow: number;
  /** Rows that the matrix really has among those of the groups. */
  readonly rows: number;
  /** Columns, or blocks of 32 of them. */
  readonly inner: number;
  /** Home addresses of the inputs, rows of `inputBytes`, and of their scales, rows of `scaleBytes` (0 if not quantised). */
  readonly inputs: number;
  readonly inputBytes: number;
  readonly inputScales: number;
  readonly scaleBytes: number;
  /** Home addresses of int32 lists: which row of the inputs each token reads, which row of the outputs it writes. */
  readonly tokens: number;
  readonly inputList: number;
  readonly outputList: number;
  /** Home address of the outputs, rows of `outputBytes`, and of the bias, or 0. */
  readonly outputs: number;
  readonly outputBytes: number;
  readonly bias: number;
  /** Address in the matrix's arena of the threads' scratch areas, and bytes of each. */
  readonly scratch: number;
  readonly scratchBytes: number;
}

export function matmulJob(j: MatmulJob): number[] {
  return [
    MATMUL,
    j.arena,
    j.weights,
    j.scales,
    KERNEL_NAMES.indexOf(j.kernel),
    j.together === "tile" ? 0 : j.together,
    KERNEL_NAMES.indexOf(j.one),
    j.groups,
    j.groupRows,
    j.firstRow,
    j.rows,
    j.inner,
    j.inputs,
    j.inputBytes,
    j.inputScales,
    j.scaleBytes,
    j.tokens,
    j.inputList,
    j.outputList,
    j.outputs,
    j.outputBytes,
    j.bias,
    j.scratch,
    j.scratchBytes,
  ];
}

/** Bytes of scratch that a matmul job needs for so many tokens. */
export function matmulScratch(tokens: number, inputBytes: number, scaleBytes: number, rows: number): number {
  const padded = roundUp(inputBytes) + roundUp(scaleBytes);
  return tokens * (2 * padded + 4 * rows + 32) + 512; // the tile kernels have up to 272 of these
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 16) * 16; // not by bits: those of JavaScript end at 2 GiB
}

function runMatmul({ jobs, arenas, index }: Thread, at: number): void {
  const home = arenas.get(0)!;
  const there = arenas.get(jobs[at + 1]!)!;
  const weights = jobs[at + 2]!;
  const scales = jobs[at + 3]!;
  const kernel = there.kernels[KERNEL_NAMES[jobs[at + 4]!]!];
  const together = jobs[at + 5]!;
  const one = there.kernels[KERNEL_NAMES[jobs[at + 6]!]!];
  const groups = jobs[at + 7]!;
  const groupRows = jobs[at + 8]!;
  const firstRow = jobs[at + 9]!;
  const rows = jobs[at + 10]!;
  const inner = jobs[at + 11]!;
  const inputs = jobs[at + 12]!;
  const inputBytes = jobs[at + 13]!;
  const inputScales = jobs[at + 14]!;
  const scaleBytes = jobs[at + 15]!;
  const tokens = jobs[at + 16]!;
  const inputList = jobs[at + 17]!;
  const outputList = jobs[at + 18]!;
  const outputs = jobs[at + 19]!;
  const outputBytes = jobs[at + 20]!;
  const bias = jobs[at + 21]!;
  const scratch = jobs[at + 22]! + index * jobs[at + 23]!;

  // the matrix's memory is another than the activations': inputs go there, outputs come back
  const x = scratch;
  const d = x + roundUp(tokens * inputBytes);
  const tileX = d + roundUp(tokens * scaleBytes);
  const tileD = tileX + (together === 0 ? roundUp(tokens * inputBytes) : 0);
  const y = tileD + (together === 0 ? roundUp(tokens * scaleBytes) : 0);
  const width = groups * groupRows;
  const totals = y + tokens * width * 4;

  const homeBytes = bytesOf(home);
  const thereBytes = bytesOf(there);
  const list = new Int32Array(home.memory.buffer, inputList, tokens);
  for (let t = 0; t < tokens; t++) {
    const row = list[t]!;
    const from = inputs + row * inputBytes;
    thereBytes.set(homeBytes.subarray(from, from + inputBytes), x + t * inputBytes);
    if (scaleBytes > 0) {
      const scale = inputScales + row * scaleBytes;
      thereBytes.set(homeBytes.subarray(scale, scale + scaleBytes), d + t * scaleBytes);
    }
  }

  if (together === 0) {
    there.kernels.tile(x, d, tokens, inner, inputBytes / inner, tileX, tileD);
    kernel(weights, scales, tileX, tileD, y, groups, inner, tokens, width, totals);
  } else {
    for (let t = 0; t < tokens; ) {
      const left = tokens - t < together;
      const matmul = left ? one : kernel;
      const [from, to] = [x + t * inputBytes, y + t * width * 4];
      if (scaleBytes > 0) matmul(weights, scales, from, d + t * scaleBytes, to, groups, inner, width);
      else matmul(weights, from, to, groups, inner, width);
      t += left ? 1 : together;
    }
  }

  const targets = new Int32Array(home.memory.buffer, outputList, tokens);
  for (let t = 0; t < tokens; t++) {
    const to = outputs + targets[t]! * outputBytes + firstRow * 4;
    const from = y + t * width * 4;
    homeBytes.set(thereBytes.subarray(from, from + rows * 4), to);
    if (bias > 0) home.kernels.add(to, bias + firstRow * 4, to, rows);
  }
}

/** One key-value head with its query heads, for some of the chunk's tokens. */
export interface AttentionJob {
  readonly arena: number;
  readonly keys: number;
  readonly values: number;
  readonly bf16: boolean;
  readonly capacity: number;
  readonly headDim: number;
  /** Query heads that share this key-value head, and its index. */
  readonly group: number;
  readonly kvHead: number;
  readonly heads: number;
  /** Tokens of the chunk, and how many it has. */
  readonly firstToken: number;
  readonly endToken: number;
  readonly T: number;
  /** Positions of the first query and the first key, and the window (or Infinity). */
  readonly position: number;
  readonly first: number;
  readonly window: number;
  readonly scale: number;
  /** Home addresses: q [T, heads, headDim], sinks [heads]. */
  readonly q: number;
  readonly sinks: number;
  /** Home address of weights [heads, T, keys] to take instead of computing them, or 0. */
  readonly givenWeights: number;
  /** Home addresses of the results that are wanted, or 0: [heads, T, keys] twice, [heads, T], [T, heads, headDim]. */
  readonly scoresOut: number;
  readonly weightsOut: number;
  readonly sinkOut: number;
  readonly contextOut: number;
  readonly scratch: number;
  readonly scratchBytes: number;
}

export function attentionJob(j: AttentionJob): number[] {
  return [
    ATTENTION,
    j.arena,
    j.keys,
    j.values,
    j.bf16 ? 1 : 0,
    j.capacity,
    j.headDim,
    j.group,
    j.kvHead,
    j.heads,
    j.firstToken,
    j.endToken,
    j.T,
    j.position,
    j.first,
    j.window,
    j.scale,
    j.q,
    j.sinks,
    j.givenWeights,
    j.scoresOut,
    j.weightsOut,
    j.sinkOut,
    j.contextOut,
    j.scratch,
    j.scratchBytes,
  ];
}

/** Bytes of scratch that an attention job over so many keys needs. */
export function attentionScratch(group: number, headDim: number, keys: number): number {
  return group * (8 * headDim + 4 * (keys + 32)) + 256;
}

function runAttention({ jobs, arenas, index }: Thread, at: number): void {
  const home = arenas.get(0)!;
  const there = arenas.get(jobs[at + 1]!)!;
  const keys = jobs[at + 2]!;
  const values = jobs[at + 3]!;
  const bf16 = jobs[at + 4] === 1;
  const capacity = jobs[at + 5]!;
  const headDim = jobs[at + 6]!;
  const group = jobs[at + 7]!;
  const kvHead = jobs[at + 8]!;
  const heads = jobs[at + 9]!;
  const firstToken = jobs[at + 10]!;
  const endToken = jobs[at + 11]!;
  const T = jobs[at + 12]!;
  const position = jobs[at + 13]!;
  const first = jobs[at + 14]!;
  const window = jobs[at + 15]!;
  const scale = jobs[at + 16]!;
  const q = jobs[at + 17]!;
  const sinks = jobs[at + 18]!;
  const givenWeights = jobs[at + 19]!;
  const scoresOut = jobs[at + 20]!;
  const weightsOut = jobs[at + 21]!;
  const sinkOut = jobs[at + 22]!;
  const contextOut = jobs[at + 23]!;
  const scratch = jobs[at + 24]! + index * jobs[at + 25]!;

  const scores = bf16 ? there.kernels.scores_bf16 : there.kernels.scores_f32;
  const context = bf16 ? there.kernels.context_bf16 : there.kernels.context_f32;
  const allKeys = position + T - first;
  const size = headDim * group * 4;
  // each head's keys and values lie together, the heads one after the other
  const keyAt = keys + kvHead * capacity * headDim * (bf16 ? 2 : 4);
  const valueAt = values + kvHead * capacity * headDim * (bf16 ? 2 : 4);
  const [qAt, out, share, rows] = [scratch, scratch + size, scratch + 2 * size, scratch + 2 * size + 16];

  const homeBytes = bytesOf(home);
  const homeFloats = new Float32Array(home.memory.buffer);
  const thereBytes = bytesOf(there);
  const floats = new Float32Array(there.memory.buffer);
  for (let t = firstToken; t < endToken; t++) {
    const end = position + t + 1;
    const low = Math.max(first, end - window);
    const base = low & ~7;
    const n = (end - base + 7) & ~7;
    const mine = (t * heads + kvHead * group) * headDim * 4;
    // a cache line apart from a power of two, whose multiples would share their places in the cache
    const stride = n + 16;
    const rowOf = (g: number): number => rows / 4 + g * stride;
    /** Where this token's row of head g begins in [heads, T, keys], in floats. */
    const homeRow = (tensor: number, g: number): number =>
      tensor / 4 + ((kvHead * group + g) * T + t) * allKeys;

    if (givenWeights > 0) {
      for (let g = 0; g < group; g++) {
        const from = homeRow(givenWeights, g) + low - first;
        floats.set(homeFloats.subarray(from, from + end - low), rowOf(g) + low - base);
      }
    } else {
      thereBytes.set(homeBytes.subarray(q + mine, q + mine + size), qAt);
      scores(qAt, keyAt, capacity, headDim, group, base, end, scale, rows, stride);
      for (let g = 0; g < group; g++) {
        const row = rowOf(g);
        if (scoresOut > 0) {
          const to = homeRow(scoresOut, g);
          homeFloats.fill(Number.NEGATIVE_INFINITY, to, to + allKeys);
          homeFloats.set(floats.subarray(row + low - base, row + end - base), to + low - first);
        }
        const sink = homeFloats[sinks / 4 + kvHead * group + g]!;
        there.kernels.sink_softmax(row * 4, n, low - base, end - base, sink, share);
        if (weightsOut > 0) {
          const to = homeRow(weightsOut, g);
          homeFloats.fill(0, to, to + allKeys);
          homeFloats.set(floats.subarray(row + low - base, row + end - base), to + low - first);
        }
        if (sinkOut > 0) homeFloats[sinkOut / 4 + (kvHead * group + g) * T + t] = floats[share / 4]!;
      }
    }
    if (contextOut > 0) {
      context(rows, stride, valueAt, capacity, headDim, group, base, low, end, out);
      homeBytes.set(thereBytes.subarray(out, out + size), contextOut + mine);
    }
  }
}
