// Copies a text. Browsers keep the clipboard from pages that did not come over TLS or from
// this machine; there the older way is tried.

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { return copySelected(text); }
}

function copySelected(text) {
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.className = "offscreen";
  field.readOnly = true;
  field.value = text;
  document.body.append(field);
  field.select();
  let done = false;
  try { done = document.execCommand("copy"); } catch { /* not allowed either */ }
  field.remove();
  before?.focus?.();
  return done;
}
