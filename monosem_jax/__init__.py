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
  analysis     the paper's claims about features, a module for each claim
  site         the page that shows the features
  interop      dictionaries and features in the formats of other programs

`stages/` connects these; nothing else connects a producer to a consumer.
`config/`, `device/` and `run/` serve all of them and know no model.

Shapes live in names:
  B contexts of a batch     C contexts of a chunk      T positions of a context
  P positions kept of each  V vocabulary               D residual width
  H heads                   K head width               A width decomposed (512)
  N rows of a batch         R rows of a chunk          G shuffle groups
  U micro-batches           F features                 S steps of a chunk
  E kept examples           W tokens of a window       L most active of a token
so `acts_NA` is a matrix of N activation vectors, and `W_dec_FA` is a decoder. A
module may declare further letters. A lower-case letter is a part of its
upper-case one, such as the rows of f_nf on one device.
"""

__version__ = '0.2.0'
