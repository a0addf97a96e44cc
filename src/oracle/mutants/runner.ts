import {
  type Checkpoint,
  mapWeights,
  type WeightRole,
  type WeightSource,
  type WeightSources,
} from "../../checkpoint/weights.ts";
import { createEngine, type EngineOptions } from "../../engine/index.ts";
import type { HostTensor, Ops, Weight } from "../../engine/ops.ts";
import { Transformer } from "../../model/transformer.ts";
import type { DialectName } from "../../numerics/dialects.ts";
import { type Change, combined } from "./mutant.ts";

/** An engine of one dialect, and the weights that it holds by now. */
interface Engine {
  readonly ops: Ops;
  readonly loaded: Loaded;
}

/** By source and role: an embedding has another form than the same weight as a matrix. */
class Loaded {
  readonly #weights = new Map<WeightSource, { role: WeightRole; weight: Weight }>();

  get(source: WeightSource, role: WeightRole): Weight | undefined {
    const found = this.#weights.get(source);
    return found?.role === role ? found.weight : undefined;
  }

  set(source: WeightSource, role: WeightRole, weight: Weight): void {
    this.#weights.set(source, { role, weight });
  }
}

/** What mutants are made of. */
export type Subject = Pick<Checkpoint, "config" | "weights">;

/** Runs one checkpoint with changes. Weights that a change leaves alone are read once a dialect. */
export class MutantRunner implements AsyncDisposable {
  readonly #checkpoint: Subject;
  readonly #options: EngineOptions;
  readonly #engines = new Map<DialectName, Engine>();

  /** @param checkpoint stays open when the runner is closed */
  constructor(checkpoint: Subject, options: EngineOptions = {}) {
    this.#checkpoint = checkpoint;
    this.#options = options;
  }

  /** Logits [T, vocab] of the checkpoint with these changes, of none as it should be. */
  async logits(
    ids: readonly number[],
    dialect: DialectName,
    changes: readonly Change[] = [],
  ): Promise<HostTensor> {
    const change = combined(changes);
    const config = change.config(this.#checkpoint.config);
    const sources = change.weights(this.#checkpoint.weights, this.#checkpoint.config);
    const shared = await this.#engine(dialect);
    const own = await this.#ownEngine(sources, shared, dialect);
    const { ops, loaded } = own ?? shared;
    try {
      const weights = await mapWeights(
        sources,
        async (source, role) => loaded.get(source, role) ?? ops.loadWeight(source, role),
      );
      const transformer = new Transformer(config, weights, change.ops(ops, this.#checkpoint.config));
      using cache = transformer.createCache();
      return ops.read(await transformer.forward(ids, cache));
    } finally {
      await own?.ops.close();
    }
  }

  /** The checkpoint's own weights in an engine that serves all changes but those of matrices. */
  async #engine(dialect: DialectName): Promise<Engine> {
    const known = this.#engines.get(dialect);
    if (known) return known;
    const ops = await createEngine({ ...this.#options, dialect }, this.#checkpoint.config.headDim);
    const engine = { ops, loaded: new Loaded() };
    this.#engines.set(dialect, engine);
    await mapWeights(this.#checkpoint.weights, async (source, role) => {
      engine.loaded.set(source, role, await ops.loadWeight(source, role));
    });
    return engine;
  }

  /** An engine for once where matrices are changed, since engines free no single one. */
  async #ownEngine(
    sources: WeightSources,
    shared: Engine,
    dialect: DialectName,
  ): Promise<Engine | undefined> {
    let needed = false;
    await mapWeights(sources, (source, role) => {
      if (role !== "vector" && !shared.loaded.get(source, role)) needed = true;
    });
    if (!needed) return undefined;
    const ops = await createEngine({ ...this.#options, dialect }, this.#checkpoint.config.headDim);
    // the reference engine's weights are plain objects, good in any of its instances
    const loaded = ops.engine === "reference" ? shared.loaded : new Loaded();
    return { ops, loaded };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { ops } of this.#engines.values()) await ops.close();
    this.#engines.clear();
  }
}
