"""What a source may name as its reader, known without importing one: who fetches files need not read them."""

READER_NAMES = (
    "bible", "chats", "csv", "html", "json", "jsonl", "markdown", "parquet", "text", "warc", "wikipedia_intros",
)  # fmt: skip
