"""What features do: one pass over text, examples, logits, tables."""
