"""The style of the report's page: light and dark, readable at the width of a phone, nothing fetched."""

# The browser itself is told to load nothing but what the page holds.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

CSS = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #fff; --ink: #22303c; --faint: #5a6672; --line: #dfe3e6;
  --bar: #2f6f9f; --bar-ground: #e6edf2; --drop: #a53f35; --keep: #2f7a48; --link: #1f5f8f; }
@media (prefers-color-scheme: dark) { :root { --paper: #15191d; --card: #1d2328; --ink: #e4e8eb; --faint: #a3adb6;
  --line: #343c44; --bar: #6fa8d0; --bar-ground: #2a333b; --drop: #f08d80; --keep: #7fc796; --link: #8fc1e6; }
  figure img { filter: invert(0.89) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem clamp(0.8rem, 3vw, 2rem) 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0.4rem 0; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 0.6rem; padding-top: 0.5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0.4rem; }
p { max-width: 48rem; margin: 0.5rem 0; }
a { color: var(--link); }
.lead, .note { color: var(--faint); }
.note { font-size: 0.9rem; }
nav ol { padding-left: 1.3rem; margin: 0.4rem 0; columns: 18rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: 0.7rem; margin: 1.2rem 0; padding: 0; }
.facts div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 0.7rem 0.9rem; }
.facts dt { color: var(--faint); font-size: 0.82rem; }
.facts dd { margin: 0; font-size: 1.3rem; font-weight: 650; }
.wide { overflow-x: auto; margin: 0.5rem 0 1rem; }
figure { margin: 1rem 0; overflow-x: auto; }
figure img { display: block; width: 100%; border-radius: 8px; }
figure.flow img { min-width: 52rem; }
figure.chart img { min-width: 32rem; max-width: 52rem; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; min-width: min(100%, 26rem); }
caption { text-align: left; font-weight: 650; padding: 0.2rem 0; }
th, td { text-align: right; padding: 0.3rem 0.7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child, td.text { text-align: left; padding-left: 0; }
thead th { color: var(--faint); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; min-width: 7rem; }
tr.sum > * { font-weight: 650; border-bottom: none; }
td { white-space: nowrap; }
td.text { white-space: normal; min-width: 9rem; padding-left: 0.7rem; }
thead th.text:not(:first-child) { text-align: left; padding-left: 0.7rem; }
.bar { display: inline-block; width: clamp(3.5rem, 16vw, 11rem); height: 0.62rem; margin-right: 0.6rem; border-radius: 3px;
  background: var(--bar-ground); overflow: hidden; vertical-align: baseline; }
.bar + b { display: inline-block; min-width: 3.8rem; font-weight: inherit; }
.bar i { display: block; height: 100%; background: var(--bar); }
td:has(.bar) { min-width: 11rem; }
.axes .bar { width: clamp(3rem, 10vw, 5.5rem); } .axes td:has(.bar) { min-width: 8rem; }
.axes { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 2.5rem; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 0.3rem 1.6rem; }
.samples { list-style: none; padding: 0; margin: 0.2rem 0 0.8rem; font-size: 0.9rem; }
.samples li { border-left: 3px solid var(--line); padding: 0.1rem 0 0.1rem 0.7rem; margin: 0.5rem 0; overflow-wrap: anywhere; }
.samples .meta { display: block; color: var(--faint); font-size: 0.82rem; }
.dropped .samples li { border-color: var(--drop); }
.kept .samples li { border-color: var(--keep); }
.dropped h4 { color: var(--drop); } .kept h4 { color: var(--keep); }
h4 { font-size: 0.86rem; margin: 0.4rem 0 0; }
details { margin: 0.6rem 0; } summary { cursor: pointer; color: var(--link); }
:is(a, summary, .wide):focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media (max-width: 40rem) { body { font-size: 15px; } th, td { padding: 0.3rem 0.45rem; } }
@media print { body { max-width: none; } details > * { display: block; } }
"""
