def adopt_tokenizer(x):
    raise ValueError
