/** What is known of an activation of which a program printed a few values and their sum. */
export interface SampledTensor {
  /** The activation's own shape, in our layout. */
  readonly shape: readonly number[];
  /** Row-major places of the values. */
  readonly at: Float64Array;
  readonly values: Float32Array;
  /** Half a unit of the last printed digit: errors up to this say nothing. */
  readonly resolution: number;
  /** Sum of all values of the tokens from `firstToken` on, added in float32. */
  readonly sum?: number;
  readonly firstToken: number;
}
