"""Labels of tokens: subsets of the corpus, and proxies."""

import dataclasses
import functools

import numpy as np

from monosem_jax.analysis import proxies
from monosem_jax.stages.analysis.inputs import AnalysisInputs


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled:
  """The labels of a split's tokens.

  Attributes:
    inputs: the inputs of the analyses.
    split: the split of the contexts.
  """

  inputs: AnalysisInputs
  split: str

  @property
  def subset_names(self) -> list[str]:
    return self.inputs.store.subset_names

  def subset(self, tokens_BT: np.ndarray, context_B: np.ndarray) -> np.ndarray:
    """Returns the number of each token's subset: subset_BT, int32."""
    store = self.inputs.store
    index_B1 = store.stream_index(self.split, np.asarray(context_B))[:, None]
    document_BT = store.document_of(
      self.split, index_B1, np.arange(tokens_BT.shape[1])
    )
    return store.document_subset(self.split)[document_BT].astype(np.int32)

  @functools.cached_property
  def proxies(self) -> proxies.Proxies:
    """The proxies, estimated on a sample of contexts."""
    inputs, c = self.inputs, self.inputs.config.proxies
    store = inputs.store
    V = store.tokenizer.vocab_size
    contexts = min(c.contexts, store.n_contexts(self.split))
    sample = store.tokens(self.split, np.arange(contexts))
    return proxies.estimate(
      [store.tokenizer.token_bytes(i) for i in range(V)],
      np.bincount(sample.reshape(-1), minlength=V),
      np.array_split(sample, max(1, contexts // 256)),
      floor=c.floor,
      overlook_space=c.overlook_space,
    )

  @property
  def proxy_names(self) -> list[str]:
    """The names of the proxies that occur in the corpus."""
    return list(self.proxies.share)

  def on(self, tokens_BT: np.ndarray) -> np.ndarray:
    """Returns which proxies are on, on_BTK, in the order of `proxy_names`."""
    found = proxies.score(self.proxies, tokens_BT)
    scores = [found[name] > 0 for name in self.proxy_names]
    return np.stack(scores, -1) if scores else np.zeros((*tokens_BT.shape, 0))

  def every(self, tokens_BT: np.ndarray, context_B: np.ndarray) -> np.ndarray:
    """Returns all labels, on_BTL: the proxies, then the subsets."""
    subset_BT = self.subset(tokens_BT, context_B)
    own_BTK = subset_BT[..., None] == np.arange(len(self.subset_names))
    return np.concatenate([self.on(tokens_BT).astype(bool), own_BTK], -1)
