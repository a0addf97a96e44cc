import { GptOssError } from "../../errors.ts";

/** A patch that can't be read, doesn't fit its files, or reaches where it mustn't. Its message is for the model. */
export class PatchError extends GptOssError {
  constructor(message: string) {
    super("patch");
    // several lines, as the reference's are, and no hint
    this.message = message;
  }
}
