"""Letters of scripts that write words without blanks, or join words to what follows: an address may stand right beside."""

# Hebrew, Arabic, Indic to Burmese, Hangul, Khmer, kana, Han, Hangul syllables, half-width kana
JOINED = "\u0590-\u05ff\u0620-\u06ff\u0900-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af\uff66-\uff9f"
WORD = rf"[^\W{JOINED}]"  # a letter, digit or _ that belongs to the word or number beside it
