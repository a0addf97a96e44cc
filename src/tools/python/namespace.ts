import type { ToolNamespace } from "../../harmony/index.ts";

/**
 * What the model is told of Python, to the letter what gpt-oss was trained with (`add_python_tool` of openai-harmony). Its
 * 120 seconds are this tool's default; the rest holds too, with an in-memory `/mnt/data` and no internet.
 */
export const PYTHON: ToolNamespace = {
  name: "python",
  description: `Use this tool to execute Python code in your chain of thought. The code will not be shown to the user. This tool should be used for internal reasoning, but not for code that is intended to be visible to the user (e.g. when creating plots, tables, or files).

When you send a message containing Python code to python, it will be executed in a stateful Jupyter notebook environment. python will respond with the output of the execution or time out after 120.0 seconds. The drive at '/mnt/data' can be used to save and persist user files. Internet access for this session is UNKNOWN. Depends on the cluster.`,
  tools: [],
};
