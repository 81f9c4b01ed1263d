"""Texts that try to run a script, to fetch something, or to become a part of the page."""

MARK = "pwned"  # the property of `window` that each script sets
HOST = "http://evil.example"

TEXTS = (
    f"<script>window.{MARK}=1</script>",
    f"<img src=x onerror='window.{MARK}=1'>",
    f"<svg onload=window.{MARK}=1>",
    f"<svg><script>window.{MARK}=1</script></svg>",
    f"<details open ontoggle=window.{MARK}=1><summary>s</summary></details>",
    f'<iframe srcdoc="<script>parent.{MARK}=1</script>"></iframe>',
    f"<iframe src=javascript:window.{MARK}=1></iframe>",
    f"<input autofocus onfocus=window.{MARK}=1>",
    f"<body onload=window.{MARK}=1>",
    f"<video><source onerror=window.{MARK}=1></video>",
    f"<math href=javascript:window.{MARK}=1>m</math>",
    f"<form action={HOST}><button>b</button></form>",
    f"<object data={HOST}/o></object><embed src={HOST}/e>",
    f"<link rel=stylesheet href={HOST}/c><style>@import '{HOST}/s'; #send {{ display: none }}</style>",
    f"<base href={HOST}/><meta http-equiv=refresh content='0;url={HOST}/m'>",
    f"[click](javascript:window.{MARK}=1)",
    f"![i]({HOST}/i.png)",
    f'![i](x" onerror="window.{MARK}=1)',
    f"<javascript:window.{MARK}=1>",
    f"[a]: javascript:window.{MARK}=1\n\n[a]",
    f"```html\n</code></pre><img src=x onerror=window.{MARK}=1>\n```",
    f"`</code><img src=x onerror=window.{MARK}=1>`",
    f"| a |\n|---|\n| <img src=x onerror=window.{MARK}=1> |",
    f"$$\\href{{javascript:window.{MARK}=1}}{{x}}$$",
    f"<scr<script>ipt>window.{MARK}=1</scr</script>ipt>",
    f"&lt;img src=x onerror=window.{MARK}=1&gt;",
    f"</div></div><img src=x onerror=window.{MARK}=1>",
    f"<!--><img src=x onerror=window.{MARK}=1>-->",
    f'"><img src=x onerror=window.{MARK}=1>',
    f"\\<img src=x onerror=window.{MARK}=1\\>",
    f"<noscript><p title='</noscript><img src=x onerror=window.{MARK}=1>'>",
    f"<template><img src=x onerror=window.{MARK}=1></template>",
)

# Elements and attributes that no text brings, in the parts of the page that a selector finds.
BROUGHT = """(part) => [...document.querySelectorAll(part)].flatMap(root => [...root.querySelectorAll('*')])
  .filter(one => /^(script|img|iframe|object|embed|link|style|meta|base|form|input|video|source|math|template)$/i
    .test(one.tagName) || [...one.attributes].some(given => /^on/i.test(given.name)
      || (/^(href|xlink:href|src|srcdoc|action|formaction|data)$/i.test(given.name) && !given.value.startsWith('#'))))
  .map(one => one.outerHTML.slice(0, 200))"""


def recital() -> list[str]:
    """The texts one after another, in the pieces in which a model generates them: half-way, tags are open."""
    pieces: list[str] = []
    for number, text in enumerate(TEXTS):
        halves = ((text[:place], text[place:]) for place in range(len(text) // 2, len(text)))
        pieces += next(list(pair) for pair in halves if not set(pair) & set(pieces))
        pieces.append(f"\n\nend of {number}\n\n")
    return pieces
