"""Documents to tokens: sources, tokenizer, token store, batches."""
