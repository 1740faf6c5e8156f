"""Layouts of features in the plane."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from monosem_jax.analysis.results.arrays import Layout
from monosem_jax.analysis.results.geometry import Geometry
from monosem_jax.site import views
from monosem_jax.site.links import Folders


def packs(folder: Folders, keys: Sequence[str]) -> dict[str, views.Pack]:
  """`map/NAME` for each layout: positions of features, and their clusters."""
  found: dict[str, views.Pack] = {}
  numbers = Geometry.load_if_made(folder('geometry'))
  for layout_name, sets in (numbers.layouts if numbers else {}).items():
    layout = Layout.load_if_there(folder('geometry') / f'{layout_name}.npz')
    own = views.numbers_of(keys, sets)
    if layout is None or own is None:
      continue
    position_F2 = layout.position_F2
    low_2, high_2 = position_F2.min(0), position_F2.max(0)
    # 16 bits are finer than any screen.
    unit_F2 = (position_F2 - low_2) / np.maximum(high_2 - low_2, 1e-9)
    columns = {
      'position': np.round(unit_F2 * 65_535).astype(np.uint16),
      'set': np.array(own)[layout.dictionary_F].astype(np.uint8),
      'feature': layout.feature_F.astype(np.uint32),
    }
    meta: dict[str, Any] = {
      'sets': own,
      'extent': (high_2 - low_2).astype(float).tolist(),
    }
    if layout.cluster_F is not None and layout.order_F is not None:
      columns['cluster'] = layout.cluster_F.astype(np.int32)
      columns['order'] = layout.order_F.astype(np.uint32)
    found[f'map/{layout_name}'] = meta, columns
  return found
