"""The scripts of the page, each a JavaScript function that an event of gradio calls in the browser."""

from modeling.rlhf.ratings.shared_dialogues import ID
from release.history import MAX_BYTES

# Whatever lies in the browser's store: anything but a text of the size that the page writes is not sent at all.
READ_SAVED = f"(saved) => [typeof saved === 'string' && saved.length <= {MAX_BYTES} ? saved : '']"

# The random name of a browser (release/raters.py), the second input of those who use it: anything else is not sent.
RATER = "[0-9a-f]{32}"
READ_RATER = f"""(first, kept, ...rest) => {{
  const valid = typeof kept === 'string' && /^{RATER}$/.test(kept);
  return [first, valid ? kept : '', ...rest];
}}"""

# The id in the address with which a shared dialogue is taken up. The address loses it, so that a reload takes up nothing.
READ_LINK = f"""() => {{
  const id = new URLSearchParams(location.search).get('continue') ?? '';
  if (id) history.replaceState(null, '', location.pathname);
  return [/^{ID}$/.test(id) ? id : ''];
}}"""

# A path of this server as the whole address under which the person has opened the page.
WHOLE_ADDRESS = "(path) => [path ? location.origin + path : '']"

# Offers {name, type, text} (JSON) as a download. The text is data of a Blob and never becomes part of the page.
DOWNLOAD = """(parcel) => {
  if (!parcel) return [];
  const file = JSON.parse(parcel);
  const url = URL.createObjectURL(new Blob([file.text], {type: file.type}));
  const link = document.createElement('a');
  link.href = url;
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  return [];
}"""

FOCUS = "() => { document.querySelector('#message textarea')?.focus(); return []; }"

# After an answer: only if the button that had the focus is gone, and not where that opens a keyboard over the answer.
FOCUS_IF_LOST = """() => {
  const now = document.activeElement;
  const lost = !now || now === document.body || now.closest('#send, #stop');
  if (lost && !matchMedia('(pointer: coarse)').matches) document.querySelector('#message textarea')?.focus();
  return [];
}"""

# Screen readers say what the state lines say (release/theme.py tells them when not to), and whether a part is open.
ANNOUNCE = """() => {
  for (const head of document.querySelectorAll('button.label-wrap')) {
    const say = () => head.setAttribute('aria-expanded', head.classList.contains('open'));
    say();
    head.addEventListener('click', () => setTimeout(say, 50));  // after the page has opened or closed it
    head.querySelector('.icon')?.setAttribute('aria-hidden', 'true');
  }
  const lines = () => document.querySelectorAll('#compare-state, #state').forEach(one => one.setAttribute('role', 'status'));
  lines();
  document.addEventListener('click', () => setTimeout(lines, 200));  // a tab is made when it is first opened
  return [];
}"""

# Opens the tab "Lineage" at the row of the artifact that made the last answer. On a narrow page, the tab is in a menu.
OPEN_LINEAGE = """() => {
  const name = document.querySelector('#details .artifact')?.textContent;
  const inMenu = [...document.querySelectorAll('.overflow-menu button')].find(one => one.textContent.trim() === 'Lineage');
  (document.querySelector('#lineage-button') ?? inMenu)?.click();
  const row = () => [...document.querySelectorAll('#lineage td:first-child')].filter(cell => cell.textContent === name);
  setTimeout(() => row().pop()?.scrollIntoView({block: 'center'}), 100);
  return [];
}"""
