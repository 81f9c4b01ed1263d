"""The look of the chat: colours, type, spacing and HTML. Nothing is fetched from another host."""

import html
import re

import gradio as gr
from markdown_it import MarkdownIt

FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")

FUR = gr.themes.Color(
    name="fur", c50="#fbf6f1", c100="#f5e9dd", c200="#ead1ba", c300="#dbb08e", c400="#cb8c62", c500="#b96f43",
    c600="#a25a33", c700="#84472a", c800="#673823", c900="#4d2b1c", c950="#2c1710",
)  # fmt: skip

ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' aria-hidden='true' viewBox='0 0 32 32'>"
    "<rect width='32' height='32' rx='8' fill='{fill}'/>"
    "<path d='M10 26V11l-1.5-5 3 2h3l3-2-1 5v3h6a2 2 0 0 1 2 2v10h-3v-5h-8v5z' fill='white'/></svg>"
)

LINE_END = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Links stay as text, so that users see their targets. Images would be fetched from other hosts.
MARKDOWN = (
    MarkdownIt("commonmark", {"html": False, "breaks": True})
    .enable(["table", "strikethrough"])
    .disable(["html_block", "html_inline", "link", "image", "autolink", "reference"])
)

CSS = """
:root { --fur: #a25a33; --fur-soft: rgba(162, 90, 51, .10); }
.dark { --fur: #dbb08e; --fur-soft: rgba(219, 176, 142, .12); }
.gradio-container { width: 100%; max-width: min(1160px, 100vw) !important; margin: 0 auto !important; }
.gradio-container > .main { padding: 10px clamp(10px, 3vw, 32px) 8px !important; }
.html-container { padding: 0 !important; }
:is(#run, #guard, #asked, #details, #disagreements):not(:has(.state, .about, .answer)) { display: none; }
.masthead { display: flex; align-items: center; gap: 13px; padding: 2px; }
.masthead svg { width: 38px; height: 38px; flex: none; }
.masthead h1 { font-size: 1.3rem; font-weight: 650; margin: 0; line-height: 1.2; letter-spacing: -.01em; }
.prose .masthead p { margin: 2px 0 0; color: var(--body-text-color-subdued); font-size: .86rem; line-height: 1.35; }
.prose .masthead .badge { margin-left: auto; flex: none; font-size: .76rem; font-weight: 600; padding: 5px 11px;
  border-radius: 999px; color: var(--fur); background: var(--fur-soft); white-space: nowrap; }
#dialogue { height: calc(100vh - 328px) !important; min-height: 300px; }
#dialogue .message-row, #dialogue .message { overflow-wrap: anywhere; min-width: 0; }
#dialogue .top-panel { display: none; }
#dialogue .icon-button { min-width: 24px; min-height: 24px; }
#dialogue .placeholder-content { align-items: center; text-align: center; }
.side, .talk { gap: 10px !important; }
.write { gap: 8px !important; align-items: flex-end; }
.write button { border-radius: var(--radius-lg); font-size: .92rem; height: 42px; max-width: 120px; }
.tools { gap: 6px !important; }
.tools button { font-size: .8rem; min-height: 30px; flex-grow: 1; min-width: max-content !important; padding: 4px 8px; }
button.sm { background: transparent; border: 1px solid var(--border-color-primary); min-height: 30px; }
button.sm:hover { background: var(--fur-soft); }
#links input { text-overflow: ellipsis; padding-right: 30px; }
.ask { align-items: center; gap: 10px !important; }
:is(button, [role=tab], input, summary):focus-visible { outline: 2px solid var(--fur) !important; outline-offset: 2px; }
.prose .about { font-size: .84rem; color: var(--body-text-color-subdued); line-height: 1.45; padding: 0 3px; }
.about code { font-size: .76rem; }
.state { min-height: 1.4em; font-size: .82rem; padding: 0 4px; }
.prose .state span { color: var(--body-text-color-subdued); }
.prose .state span.warn { color: #8f5400; } .dark .prose .state span.warn { color: #f0b35a; }
.prose .state span.fail { color: #b42318; } .dark .prose .state span.fail { color: #ff8a7a; }
.prose .caution { font-size: .76rem; text-align: center; color: var(--body-text-color-subdued); }
.by { font-size: .72rem; color: var(--body-text-color-subdued); margin-top: 6px; }
.answer { padding: 12px 16px !important; border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
  background: var(--block-background-fill); }
.answer .answer { padding: 0 !important; border: none; background: none; }
:is(#vote, #withdraw) { max-width: 220px; }
.cut { text-align: center; font-size: .78rem; color: var(--body-text-color-subdued);
  border-top: 1px dashed var(--border-color-primary); padding-top: 5px; }
.paper { width: 100%; max-width: 920px; margin: 0 auto; font-size: .92rem; border: none !important; }
.paper .prose h1 { font-size: 1.5rem; } .paper .prose h2 { font-size: 1.12rem; margin-top: 1.6em; }
.paper table { display: block; padding: 0 !important; overflow-x: auto; font-size: .8rem; border: none !important;
  border-collapse: collapse; }
.paper .prose :is(thead, tbody, tr) { border: none !important; }
.paper .prose th, .paper .prose td { border: none !important; border-bottom: 1px solid var(--border-color-primary) !important;
  padding: 6px 14px 6px 2px !important; text-align: left; vertical-align: top; overflow-wrap: normal; word-break: normal; }
.paper .prose th { color: var(--body-text-color-subdued); font-weight: 600; }
.paper .prose thead tr:not(:has(th:not(:empty))) { display: none; }
.paper table code { white-space: nowrap; }
@media (max-width: 640px) { .masthead .badge, .prose .masthead p { display: none; } #dialogue { height: 52vh !important; }
  .tools button { flex-basis: 40%; } .answers { flex-direction: column; } }
"""


def theme() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue=FUR, secondary_hue=FUR, neutral_hue=gr.themes.colors.stone, font=FONT, font_mono=MONO,
        radius_size=gr.themes.sizes.radius_lg, spacing_size=gr.themes.sizes.spacing_md,
    ).set(
        body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400",
        body_background_fill="*neutral_50", body_background_fill_dark="*neutral_950",
        block_background_fill="white", block_background_fill_dark="*neutral_900",
        block_border_width="1px", block_border_color="*neutral_200", block_border_color_dark="*neutral_800",
        block_shadow="none", input_background_fill="white", input_background_fill_dark="*neutral_900",
        input_border_color_focus="*primary_400", button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700", button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_600", button_primary_background_fill_hover_dark="*primary_500",
    )  # fmt: skip


def head() -> str:
    """Returns the icon as inline data, so that nothing is fetched for it."""
    icon = ICON.format(fill="%23a25a33").replace("<", "%3C").replace(">", "%3E").replace("'", "%27").replace(" ", "%20")
    return f'<link rel="icon" href="data:image/svg+xml,{icon}">'


def masthead(title: str, badge: str) -> str:
    return (
        f'<div class="masthead">{ICON.format(fill="#a25a33")}<div><h1>{html.escape(title)}</h1>'
        "<p>The Llama 2 paper reproduced as one graph, from raw text to chat.</p></div>"
        f'<span class="badge">{html.escape(badge)}</span></div>'
    )


def plain(text: str) -> str:
    """Returns user input as HTML that shows it as written: no Markdown, no tags."""
    return one_line(f'<div style="white-space: pre-wrap">{html.escape(text)}</div>')


def rendered(answer: str) -> str:
    """Returns a model's Markdown answer as HTML. Its own tags are escaped; links and images stay as text."""
    return one_line(f"<div>{MARKDOWN.render(answer)}</div>")


def one_line(block: str) -> str:
    """Returns the HTML block on one line. The page renders all text as Markdown, where an empty line ends a block."""
    return LINE_END.sub("&#10;", block)


def state_line(text: str, kind: str = "", spoken: bool = True) -> str:
    """`spoken`: whether screen readers say it; a line that changes many times a second is not for them."""
    live = "" if spoken else ' aria-live="off"'
    return f'<div class="state"{live}><span class="{kind}">{html.escape(text)}</span></div>'
