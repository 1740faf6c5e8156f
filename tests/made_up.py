"""Made-up features: their table, contexts and effects, with hostile tokens."""

import numpy as np

from monosem_jax.analysis.results.arrays import AblationEffects
from monosem_jax.features import census
from monosem_jax.features.table import FeatureTable, groups
from monosem_jax.site.exhibit import Contexts

HOSTILE = [
  '</script><script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '\u202eright to left\u2066',
  'nul\x00',
  'line\u2028separator',
  'half\ud800',
  'long' * 25_000,
  '\n',
  '\t',
  ' space',
  '\\xd8',
  'عرب',
  '<b>&amp;"\'`${1}',
]
VOCABULARY = HOSTILE + [f' word{i}' for i in range(20)]
V = len(VOCABULARY)
# Features of a set; the one that is dead; the one whose window is cut.
FEATURES, DEAD, CUT = 66, 3, 65
WINDOW, BEFORE, TOKENS = 5, 2, 1_000
# Contexts of the store, and tokens of each; every third begins a document.
CONTEXTS, T = 99, 100
SUBSETS = ['Books', '<script>alert(2)</script>', 'Code']
GROUPS = groups(2, 1, 1)


def table(run: str = 'A/1', seed: int = 0, top: int = 2) -> FeatureTable:
  """66 features, so two shards; number 3 is dead, each seventh of the low mode,
  65 has a cut window."""
  rng = np.random.default_rng(seed)
  F, W, shown = FEATURES, WINDOW, groups(top, 1, 1)
  E = sum(group['count'] for group in shown)
  dead_F = np.arange(F) == DEAD
  class_F = np.where(np.arange(F) % 7 == 6, census.LOW_MODE, census.LIVE)
  class_F[DEAD] = census.DEAD
  start_FE = np.zeros((F, E), np.uint8)
  stop_FE = np.full((F, E), W, np.uint8)
  stop_FE[DEAD] = 0
  start_FE[CUT, 0], stop_FE[CUT, 0] = 1, 4
  stop_FE[CUT, 1] = 0
  tokens_FEW = rng.integers(0, V, (F, E, W))
  # Every hostile token stands in a window of feature 0.
  tokens_FEW[0].flat[: len(HOSTILE)] = range(len(HOSTILE))
  logits_FL = np.sort(rng.random((F, 10)))[:, ::-1]
  return FeatureTable(
    fired_F=np.where(dead_F, 0, np.arange(F) + 1),
    class_F=class_F.astype(np.uint8),
    cosine_F=rng.random(F).astype(np.float32),
    max_F=np.where(dead_F, 0, 2.5).astype(np.float32),
    sampled_F=np.where(dead_F, 0, np.arange(F) + 1).astype(np.int32),
    sample_max_F=np.where(dead_F, 0, 2.0).astype(np.float32),
    histogram_FH=rng.integers(0, 9, (F, 40)).astype(np.int32),
    example_tokens_FEW=tokens_FEW.astype(np.uint16),
    example_acts_FEW=rng.random((F, E, W)).astype(np.float16).round(2),
    example_start_FE=start_FE,
    example_stop_FE=stop_FE,
    example_context_FE=rng.integers(0, CONTEXTS, (F, E)).astype(np.int32),
    example_position_FE=rng.integers(10, T - 10, (F, E)).astype(np.uint16),
    logit_top_ids_FL=rng.integers(0, V, (F, 10)).astype(np.uint16),
    logit_top_FL=logits_FL.astype(np.float32),
    logit_bottom_ids_FL=rng.integers(0, V, (F, 10)).astype(np.uint16),
    logit_bottom_FL=-logits_FL.astype(np.float32),
    logit_histogram_FH=rng.integers(0, 9, (F, 40)).astype(np.int32),
    logit_range_F2=np.tile(np.float32([-1, 1]), (F, 1)),
    meta={
      'run': run,
      'model': run[0],
      'features': F,
      'tokens': TOKENS,
      'split': 'train',
      'manifest': '0' * 64,
      'census': census.counts(class_F),
      'before': BEFORE,
      'after': W - 1 - BEFORE,
      'groups': shown,
    },
  )


def contexts() -> Contexts:
  """All contexts of the store; each third one has two documents."""
  rng = np.random.default_rng(7)
  two_C = np.arange(CONTEXTS) % 3 == 0
  of_C1 = np.r_[0, np.cumsum(1 + two_C)]
  position_S = np.zeros(of_C1[-1], np.int64)
  position_S[of_C1[:-1][two_C] + 1] = 40
  document_S = np.cumsum(position_S > 0)
  return Contexts(
    split='train',
    number_C=np.arange(CONTEXTS),
    tokens_CT=rng.integers(0, V, (CONTEXTS, T)),
    span_of_C1=of_C1,
    position_S=position_S,
    document_S=document_S,
    subset_S=document_S % len(SUBSETS),
    offset_S=np.where(position_S > 0, 0, 500),
  )


def span(context: np.ndarray, position: np.ndarray) -> np.ndarray:
  """The span of `contexts` that each token is in."""
  found, c = np.zeros(np.shape(context), np.int64), contexts()
  for at, own in np.ndenumerate(np.asarray(context)):
    spans = np.arange(*c.span_of_C1[own : own + 2])
    begins = c.position_S[spans] <= np.asarray(position)[at]
    found[at] = spans[begins].max()
  return found


def effects(t: FeatureTable) -> AblationEffects:
  """Effects on every fifth token of the examples' windows."""
  rng = np.random.default_rng(1)
  at_M = np.arange(0, t.example_tokens_FEW.size, 5) + 3
  at_M = at_M[at_M < t.example_tokens_FEW.size]
  loss = rng.normal(size=at_M.size)
  ids = lambda: rng.integers(0, V, (at_M.size, 5)).astype(np.uint16)
  falling = np.float16([2, 1.5, 1, 0.5, 0.25])
  values = np.tile(falling, (at_M.size, 1))
  return AblationEffects(
    at_M=at_M,
    loss_M=loss.astype(np.float16),
    raised_ids_Mk=ids(),
    raised_Mk=values,
    lowered_ids_Mk=ids(),
    lowered_Mk=-values,
  )
