"""Documents to tokens: sources, tokenizer, token store, batches.

Shapes of this room, beside those of the package:
  D documents of a split    S subsets of the corpus    U bytes
  M contexts of a stream    K contexts of a record     R records
  N tokens of a stream      G groups of a batch        b rows of one process
  J borders (D + 1 of documents; the ends of files)    X any shape
"""
