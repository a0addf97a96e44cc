/** Products of matrices and activations: what is quantised, and how the work is cut into jobs. */
import type { Dialect } from "../../numerics/dialects.ts";
import { callJob, type MatmulJob, matmulJob, matmulScratch } from "./jobs.ts";
import type { Layout, Placed, SimdMatrix } from "./matrix.ts";
import type { Quantised, SimdTensor } from "./tensor.ts";
import type { Workspace } from "./workspace.ts";

/** One matrix of a weight times some tokens: home addresses of the lists of their rows in x and in the result, and of the bias or 0. */
export interface Product {
  readonly placed: Placed;
  readonly inputs: number;
  readonly outputs: number;
  readonly count: number;
  readonly bias: number;
}

/** Bytes of weights that make a job worth its while, and tokens that a tile kernel takes at a time. */
const JOB_BYTES = 2 ** 19;
const TILE = 64;
/** Up to so many tokens, MXFP4 is faster two by two than in a tile. */
const FEW = 4;

/** Kernels (`jobs.ts`), and the form of activations that they want (`assembly/quantize.ts`). */
interface Multiplication extends Pick<MatmulJob, "kernel" | "together" | "one"> {
  readonly form: number;
  readonly offset: number;
  readonly factor: number;
}

export class Products {
  readonly #ws: Workspace;
  readonly #dialect: Dialect;

  constructor(workspace: Workspace, dialect: Dialect) {
    this.#ws = workspace;
    this.#dialect = dialect;
  }

  /** Multiplies with matrices of one kind, in jobs: chunks of a matrix's rows, times tiles of tokens. */
  run(x: SimdTensor, matrix: SimdMatrix, products: readonly Product[], out: SimdTensor): void {
    const { layout } = matrix;
    const { groups, groupRows, groupBytes, scaleBytes, cols, rows } = layout;
    const tilesOf = (count: number): number => Math.ceil(count / TILE);
    const allTiles = products.reduce((sum, { count }) => sum + tilesOf(count), 0);
    const cuts = products.map(({ placed, count }) => {
      const multiplication = this.#multiplicationFor(layout, count);
      const input = this.#inputOf(x, layout, multiplication);
      const tile = Math.ceil(count / tilesOf(count)); // all alike: to unpack weights for a few that are left over takes as long as for many
      // enough jobs for the threads to share evenly, but none so small that fetching its input would show
      const most = Math.max(1, Math.floor((groups * groupBytes * tile) / JOB_BYTES));
      const parts = Math.min(most, groups, Math.ceil((this.#ws.pool.threads * 16) / allTiles));
      const step = Math.ceil(groups / Math.max(1, parts));
      // all areas ahead of all jobs: one that grew after a job was made could lie across that job's
      placed.arena.scratch(matmulScratch(tile, input.rowBytes, input.rowScaleBytes, step * groupRows));
      return { multiplication, input, tile, step };
    });
    const jobs: number[][] = [];
    for (const [i, { placed, inputs, outputs, count: slots, bias }] of products.entries()) {
      const { arena, at, scales } = placed;
      const { multiplication, input, tile, step } = cuts[i]!;
      const { kernel, together, one } = multiplication;
      for (let first = 0; first < slots; first += tile) {
        for (let group = 0; group < groups; group += step) {
          const count = Math.min(step, groups - group);
          jobs.push(
            matmulJob({
              arena: arena.id,
              weights: at + group * groupBytes,
              scales: scales + group * scaleBytes,
              kernel,
              together,
              one,
              groups: count,
              groupRows,
              firstRow: group * groupRows,
              rows: Math.min(count * groupRows, rows - group * groupRows),
              inner: layout.quantised ? cols / 32 : cols,
              inputs: input.at,
              inputBytes: input.rowBytes,
              inputScales: input.scales,
              scaleBytes: input.rowScaleBytes,
              tokens: Math.min(tile, slots - first),
              inputList: inputs + first * 4,
              outputList: outputs + first * 4,
              outputs: out.at,
              outputBytes: matrix.rows * 4,
              bias,
              scratch: arena.scratch(0),
              scratchBytes: arena.scratchBytes,
            }),
          );
        }
      }
    }
    const tokens = products.reduce((sum, { count }) => sum + count, 0);
    this.#ws.run(jobs, (tokens * rows * cols) / 8);
  }

  /** Which kernels multiply so many tokens by such a matrix. */
  #multiplicationFor({ encoding }: Layout, tokens: number): Multiplication {
    switch (encoding) {
      case "f32":
      case "bf16":
        return {
          kernel: `matmul_${encoding}_4`,
          together: 4,
          one: `matmul_${encoding}`,
          form: 0,
          offset: 0,
          factor: 1,
        };
      case "q8_0": {
        const one = "matmul_q8_0_int16";
        const rest = { one, form: 1, offset: 0, factor: 1 } as const;
        if (tokens <= 2) return { kernel: one, together: 1, ...rest };
        return { kernel: "matmul_q8_0_int16_tile", together: "tile", ...rest };
      }
      case "mxfp4":
        return this.#mxfp4(tokens);
    }
  }

  /** The doubled FP4 values are halved by `factor`; what the offsets undo stands in the kernels. */
  #mxfp4(tokens: number): Multiplication {
    const asInt16 = { form: 1, offset: -3084, factor: 0.5 } as const;
    if (!this.#ws.pool.kernels.relaxed) {
      const one = "matmul_mxfp4_baseline";
      if (tokens === 1) return { kernel: one, together: 1, one, ...asInt16 };
      return { kernel: "matmul_mxfp4_tile", together: "tile", one, ...asInt16 };
    }
    const bits = this.#dialect.activationBits === 8 ? 8 : 16;
    const one = `matmul_mxfp4_int${bits}` as const;
    const asBytes = { form: bits === 8 ? 0 : 2, offset: -12, factor: 0.5 } as const;
    if (tokens <= FEW) return { kernel: `${one}_2`, together: 2, one, ...asBytes };
    if (bits === 8) return { kernel: "matmul_mxfp4_int8_tile", together: "tile", one, ...asBytes };
    return { kernel: "matmul_mxfp4_tile", together: "tile", one, ...asInt16 };
  }

  #inputOf(x: SimdTensor, layout: Layout, multiplication: Multiplication): Quantised {
    if (layout.quantised) return this.#quantised(x, layout, multiplication);
    return { at: this.#ws.addressOf(x), rowBytes: layout.cols * 4, scales: 0, rowScaleBytes: 0 };
  }

  /** The activations in the form that a layout's kernel wants, made once for all who want it. */
  #quantised(x: SimdTensor, layout: Layout, { form, offset, factor }: Multiplication): Quantised {
    const key = `${form} ${offset}`;
    const found = x.quantised.get(key);
    if (found) return found;
    const from = this.#ws.addressOf(x);
    const blocks = layout.cols / 32;
    const rows = x.length / layout.cols;
    const rowBytes = blocks * (form === 0 ? 32 : 64);
    const made = {
      at: this.#ws.activations.allocate(rows * rowBytes),
      scales: this.#ws.activations.allocate(rows * blocks * 8),
      rowBytes,
      rowScaleBytes: blocks * 8,
    };
    const limit = this.#dialect.activationBits === 8 ? 127 : 32639;
    this.#ws.eachRow(x, layout.cols, (row, count) =>
      callJob(
        0,
        "quantize",
        from + row * layout.cols * 4,
        count * blocks,
        limit,
        form,
        offset,
        factor,
        made.at + row * rowBytes,
        made.scales + row * blocks * 8,
      ),
    );
    x.quantised.set(key, made);
    return made;
  }
}
