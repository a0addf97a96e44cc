/** Brackets that mark links and citations become similar ones, so that no page can forge them. */
export function unforged(text: string): string {
  return text.replaceAll("【", "〖").replaceAll("】", "〗");
}
