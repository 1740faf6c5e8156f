"""Towards Monosemanticity as one JAX program.

"The paper", here and everywhere: Bricken et al., "Towards Monosemanticity:
Decomposing Language Models With Dictionary Learning", 2023,
https://transformer-circuits.pub/2023/monosemantic-features.

The flow, and so the folders:

  text         documents -> tokens, packed into contexts once
  transformer  a one-layer language model, trained on them
  dictionary   its MLP activations, streamed in memory through compiled chunks
               into sparse autoencoders; dead features resampled on the way
  features     one streaming pass: density, histograms, examples, logit weights
  analysis     what the paper claims of features, a module for each claim
  site         the page that shows them
  interop      the weights in other programs' formats

`stages/` joins these; nothing else joins a producer to a consumer. `loop.py`,
`checkpoint.py`, `metrics.py`, `mesh.py` serve them and know no model.

Shapes live in names:
  B contexts of a batch     C contexts of a chunk      T positions of a context
  P positions kept of each  V vocabulary               D residual width
  H heads                   K head width               A width decomposed (512)
  N rows of a batch         R rows of a chunk          G shuffle groups
  U micro-batches           F features                 S steps of a chunk
  E kept examples           W tokens of a window       L most active of a token
so `acts_NA` is a matrix of N activation vectors, `W_dec_FA` a decoder.
"""

__version__ = '0.2.0'
