import type { Awaitable, HostTensor, Ops, Tensor } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";

/**
 * Sees the value at a trace point, and may return another of the same shape to take its place
 * (activation patching, expert replay). `value.data` is a copy. `attn.sink` can only be read: nothing follows from it.
 */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook that only reads returns nothing
export type Hook = (value: HostTensor, point: string) => Awaitable<HostTensor | void>;

/** Hooks by the names of the points that they visit; `*` stands for any characters, as in `layers.*.attn.residual`. */
export type Hooks = Readonly<Record<string, Hook>>;

/** Passes a value on, by way of the hooks on that point. */
export type Tap = <T extends Tensor>(point: string, value: Awaitable<T>) => Promise<T>;

/** A tap that shows values to hooks; without hooks it only waits for the value. An aborted pass ends there. */
export function createTap(ops: Ops, hooks: Hooks = {}, throwIfAborted: () => void = () => {}): Tap {
  const visitors = Object.entries(hooks).map(([pattern, hook]) => ({ matches: pointMatcher(pattern), hook }));
  return async (point, value) => {
    let tensor = await value;
    throwIfAborted();
    for (const { matches, hook } of visitors) {
      if (!matches(point)) continue;
      const replacement = await hook(ops.read(tensor), point);
      if (replacement) {
        checkReplacement(replacement, tensor, point);
        tensor = ops.write(replacement) as typeof tensor;
      }
    }
    return tensor;
  };
}

function checkReplacement({ shape, data }: HostTensor, { shape: expected }: Tensor, point: string): void {
  if (point.endsWith(".expert_ids") !== data instanceof Int32Array) {
    throw new UsageError("replaced activation has another type", {
      where: point,
      expected: point.endsWith(".expert_ids") ? "an Int32Array" : "floating-point numbers",
    });
  }
  if (shape.join() === expected.join() && data.length === shape.reduce((a, b) => a * b, 1)) return;
  throw new UsageError("replaced activation has another shape", {
    where: point,
    expected: `[${expected.join(", ")}]`,
    found: `[${shape.join(", ")}] with ${data.length} values`,
  });
}

/** A predicate on names of trace points; commas separate alternatives. */
export function pointMatcher(pattern: string): (point: string) => boolean {
  const alternatives = pattern.split(",").map((glob) => glob.trim().split("*").map(escapeRegExp).join(".*"));
  const regExp = new RegExp(`^(?:${alternatives.join("|")})$`);
  return (point) => regExp.test(point);
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
