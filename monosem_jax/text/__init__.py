"""Documents to tokens: sources, tokenizer, packed token store, batches."""
