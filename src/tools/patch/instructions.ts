/** How patches are written: gpt-oss's developers tell it too, in their `apply_patch.md`; these words are our own. */
export const INSTRUCTIONS: string = `To change files, call \`functions.apply_patch\`. The message is the patch itself, in this form:

*** Begin Patch
*** Add File: notes/new.txt
+Each line of the new file, with a plus ahead of it.
*** Delete File: old.txt
*** Update File: src/app.py
*** Move to: src/main.py
@@ def greet():
     name = ask()
-    print("Hi")
+    print("Hello " + name)
     return name
*** End Patch

Begin and End enclose any number of files. \`*** Move to\` is optional. A change shows three lines of context ahead of it and behind it, each line with a space, a minus (line goes) or a plus (line comes) ahead of it. \`@@\` and a line from further above, such as a function's head, tell places apart where the context alone doesn't. \`*** End of File\` follows a change at the end of a file. Paths are relative to the working folder, never absolute. The patch is applied as a whole or not at all, and the reply says which.`;
