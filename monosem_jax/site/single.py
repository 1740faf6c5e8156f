"""The page with some features of one set, in one file. Imports no jax.

It is the page of `export` with its scripts, style and data inline. It opens by
double click, from any host, and as the srcdoc of a notebook's frame. Its
Content-Security-Policy names every script by its hash, so that no other runs.

The packs are those of `export`, with the chosen features alone. In the index
each set has `chosen`, the numbers of its chosen features, rising. The first of
these is row 0 of shard 0. The list's columns have an entry for every feature of
the set; it is 0 unless the feature was chosen or a chosen one links to it.
"""

import base64
import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monosem_jax.run.files import write_file
from monosem_jax.site import export, pack, scripts
from monosem_jax.site.exhibit import Contexts, Exhibit

# Features in a file, at most: some megabytes, which mail and notebooks accept.
MOST = 200
# These would end an inline script or style early.
_ENDS = re.compile(r'<!--|</?script|</style', re.IGNORECASE)
_POLICY = re.compile(
  r'<!--[^>]*-->\s*<meta http-equiv="Content-Security-Policy" content="[^"]*">'
)
_SCRIPT = re.compile(r'\s*<script defer src="([^"]*)"></script>')
_STYLE = re.compile(r'<link rel="stylesheet" href="([^"]*)">')
_ICON = re.compile(r'(?<=<link rel="icon" href=")[^"]*(?=">)')


def write(
  path: pathlib.Path,
  *,
  build: str,
  run: Mapping[str, Any],
  exhibits: Sequence[Exhibit],
  contexts: Contexts,
  vocabulary: list[str],
  key: str,
  chosen: Sequence[int],
) -> None:
  """Writes the file, in place of one that is there.

  Args:
    path: the file.
    build, run, exhibits, vocabulary: see `export.write`.
    contexts: the contexts that the chosen features' examples are from.
    key: the set that the features are chosen from.
    chosen: the chosen features' numbers, rising.

  Raises:
    UserError: the disk is full.
  """
  data = [export.NO_SERVER.decode('ascii')]

  def put(name: str, meta: Any, columns: Mapping[str, np.ndarray]) -> None:
    data.append(pack.inline(name, pack.pack(build, meta, columns)))

  [own] = (e for e in exhibits if e.features.key == key)
  part = only(own, chosen)
  index = export.index(contexts, exhibits)
  for n, e in enumerate(exhibits):
    index['sets'][n]['chosen'] = list(chosen) if e is own else []
    kept_F = np.zeros(e.features.count, bool)
    kept_F[part.links.feature_M[part.links.set_M == n]] = True
    kept_F[index['sets'][n]['chosen']] = True
    export.put_columns(put, e, kept_F)
  export.put_features(put, part)
  export.put_contexts(put, contexts, [part])
  put('vocabulary', vocabulary, {})
  put('index', {**run, 'main': key, **index}, {})
  write_file(path, _page(''.join(data)).encode())


def only(e: Exhibit, chosen: Sequence[int]) -> Exhibit:
  """The chosen features (rising) of a set as a set of their own."""
  rows, of = np.asarray(chosen, np.int64), e.links.of_F1
  links_M = np.zeros(of[-1], bool)
  for i in rows:
    links_M[of[i] : of[i + 1]] = True
  window = e.features.table.example_tokens_FEW[0].size
  return dataclasses.replace(
    e,
    features=e.features.part(rows),
    document_FE=e.document_FE[rows],
    subset_FE=e.subset_FE[rows],
    links=dataclasses.replace(
      e.links,
      of_F1=np.r_[0, np.cumsum(np.diff(of)[rows])],
      kind_M=e.links.kind_M[links_M],
      set_M=e.links.set_M[links_M],
      feature_M=e.links.feature_M[links_M],
      value_M=e.links.value_M[links_M],
    ),
    effects=e.effects and e.effects.part(rows, window),
    neurons=e.neurons and e.neurons.part(rows),
    labels={},
  )


def _page(data: str) -> str:
  """The page with everything inline; the data is the script `scripts.LIVE`."""
  inside, styles = [], []

  def script(match: re.Match) -> str:
    name = match[1]
    inside.append(_inline(data if name == scripts.LIVE else scripts.text(name)))
    return ''

  def style(match: re.Match) -> str:
    styles.append(_inline(scripts.text(match[1])))
    return f'<style>{styles[-1]}</style>'

  def icon(match: re.Match) -> str:
    drawn = base64.b64encode(scripts.text(match[0]).encode()).decode()
    return f'data:image/svg+xml;base64,{drawn}'

  page = _SCRIPT.sub(script, scripts.page())
  page = _ICON.sub(icon, _STYLE.sub(style, page))
  policy = (
    f"default-src 'none'; script-src {_hashes(inside)}; "
    f"style-src {_hashes(styles)}; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'"
  )
  said = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
  page = _POLICY.sub(lambda _: said, page)
  # At the end of the body, since inline scripts cannot be deferred.
  tags = ''.join(f'<script>{text}</script>\n' for text in inside)
  before, end, after = page.rpartition('</body>')
  return before + tags + end + after


def _inline(text: str) -> str:
  """Returns a script or style, after checking that it can stand inline.

  Raises:
    ValueError: it contains what would end it early.
  """
  if found := _ENDS.search(text):
    raise ValueError(f'{found[0]} would end a script or a style early.')
  return text


def _hashes(texts: Sequence[str]) -> str:
  """The hashes by which a policy allows inline scripts or styles."""
  digests = (hashlib.sha256(text.encode()).digest() for text in texts)
  return ' '.join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)
