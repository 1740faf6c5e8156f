"""Plots of the analyses, as PNG files that are readable in print.

Each function draws one kind of plot from plain arrays. Axes have names and
units; a caption below says what is shown and how many there are.
"""

import contextlib
import io
import pathlib
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.run.files import write_file

# A palette that is safe for colour blindness (Okabe and Ito 2008).
_COLOURS = (
  *('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9'),
  *('#000000', '#999999'),
)
_WIDTH, _HEIGHT, _DPI = 6.4, 4.0, 150
# Above this number, points are small and rasterized.
_SMALL = 3_000

Series = Mapping[str, tuple[np.ndarray, np.ndarray]]


@contextlib.contextmanager
def _figure(
  path: pathlib.Path,
  caption: str,
  x: str = '',
  y: str = '',
  size: tuple[float, float] = (_WIDTH, _HEIGHT),
) -> Iterator:
  """Yields axes to draw on, and writes the file after the block.

  Raises:
    UserError: matplotlib is not installed, or the disk is full.
  """
  try:
    from matplotlib.figure import Figure
  except ImportError:
    raise UserError(
      'pictures need matplotlib: pip install monosem_jax[analysis]'
    ) from None
  figure = Figure(figsize=size, dpi=_DPI, layout='constrained')
  axes = figure.add_subplot()
  axes.set_prop_cycle(color=_COLOURS)
  axes.set(xlabel=x, ylabel=y)
  axes.spines[['top', 'right']].set_visible(False)
  yield axes
  if axes.get_legend_handles_labels()[1]:
    figure.legend(
      loc='outside upper center', ncols=4, frameon=False, fontsize=7
    )
  figure.supxlabel(
    textwrap.fill(caption, int(14 * size[0])), fontsize=8, color='#444444'
  )
  out = io.BytesIO()
  with warnings.catch_warnings():  # tokens may have glyphs the font lacks
    warnings.filterwarnings('ignore', 'Glyph .* missing', UserWarning)
    figure.savefig(out, format='png', metadata={'Software': None})
  write_file(path, out.getvalue())


def histogram(
  path: pathlib.Path,
  values: Mapping[str, np.ndarray],
  caption: str,
  x: str,
  y: str = 'share of features',
  bins: int | np.ndarray = 60,
) -> None:
  """Outlines of histograms, each normalized to its number of finite values."""
  finite = {n: v[np.isfinite(v)] for n, v in values.items()}
  if isinstance(bins, int):
    everything = np.concatenate([np.zeros(0), *finite.values()])
    bins = np.histogram_bin_edges(everything, bins)
  with _figure(path, caption, x, y) as axes:
    for i, (name, v) in enumerate(finite.items()):
      share, _ = np.histogram(v, bins)
      axes.stairs(
        share / max(v.size, 1),
        bins,
        label=f'{name} ({v.size:,})',
        color=_COLOURS[i % len(_COLOURS)],
        linestyle=('-', '--', ':')[i // len(_COLOURS) % 3],
      )


def lines(
  path: pathlib.Path,
  series: Series,
  caption: str,
  x: str,
  y: str,
  *,
  errors: Mapping[str, np.ndarray] | None = None,
  log_x: bool = False,
  log_y: bool = False,
) -> None:
  """Lines through points, with error bars for series that have `errors`."""
  with _figure(path, caption, x, y) as axes:
    for name, (x_M, y_M) in series.items():
      error_M = None if errors is None else errors.get(name)
      axes.errorbar(x_M, y_M, error_M, marker='o', markersize=3, label=name)
    if log_x:
      axes.set_xscale('log')
    if log_y:
      axes.set_yscale('log')


def scatter(
  path: pathlib.Path,
  series: Series,
  caption: str,
  x: str,
  y: str,
  *,
  names: Mapping[str, Sequence[str]] | None = None,
  line: bool = False,
  log_x: bool = False,
) -> None:
  """A scatter plot; `names` labels its points, and `line` draws y = x."""
  with _figure(path, caption, x, y) as axes:
    for name, (x_M, y_M) in series.items():
      many = len(x_M) > _SMALL
      axes.plot(
        *(x_M, y_M, '.'),
        markersize=1.5 if many else 4,
        alpha=0.4 if many else 0.8,
        rasterized=many,
        label=f'{name} ({len(x_M):,})',
      )
      for i, text in enumerate((names or {}).get(name, ())):
        axes.annotate(text, (x_M[i], y_M[i]), fontsize=6)
    if log_x:
      axes.set_xscale('log')
    if line:
      axes.axline((0, 0), slope=1, color='#999999', linewidth=0.8)


def bars(
  path: pathlib.Path,
  names: Sequence[str],
  heights: Mapping[str, np.ndarray],
  caption: str,
  x: str,
  y: str,
  *,
  stacked: bool = False,
) -> None:
  """Bars for each name, side by side or stacked; NaN draws no bar."""
  many = len(names) * (1 if stacked else len(heights))
  size = float(np.clip(0.12 * many, _WIDTH, 2 * _WIDTH)), _HEIGHT
  at = np.arange(len(names))
  wide = 0.8 if stacked else 0.8 / max(len(heights), 1)
  base = np.zeros(len(names))
  with _figure(path, caption, x, y, size) as axes:
    for i, (name, height) in enumerate(heights.items()):
      height = np.nan_to_num(np.asarray(height, float))
      shift = 0 if stacked else (i - (len(heights) - 1) / 2) * wide
      axes.bar(at + shift, height, wide, bottom=base, label=name)
      base = base + height if stacked else base
    turn = 60 if max(map(len, names), default=0) > 6 else 0
    axes.set_xticks(at, names, rotation=turn, fontsize=7)


def heat(
  path: pathlib.Path,
  values: np.ndarray,
  rows: Sequence[str],
  columns: Sequence[str],
  caption: str,
  x: str,
  y: str,
  unit: str,
) -> None:
  """A heat map of a matrix, with a colour bar."""
  size = max(_WIDTH, 0.25 * len(columns) + 2), max(_HEIGHT, 0.2 * len(rows) + 1)
  with _figure(path, caption, x, y, size) as axes:
    image = axes.imshow(values, aspect='auto', cmap='viridis')
    axes.set_xticks(range(len(columns)), columns, rotation=60, fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.figure.colorbar(image, label=unit)


def graph(
  path: pathlib.Path,
  at: Mapping[str, tuple[float, float]],
  edges: Sequence[tuple[str, str, float]],
  caption: str,
  labels: Mapping[str, str],
  size: tuple[float, float] = (_WIDTH, _HEIGHT),
) -> None:
  """A graph with nodes at given positions and arrows as wide as their weights.

  Args:
    path: the file to write.
    at: the position of each node, in 0..1.
    edges: source, target, and a weight in 0..1.
    caption: the caption below the graph.
    labels: the text in each node.
    size: width and height in inches.
  """
  with _figure(path, caption, size=size) as axes:
    axes.set_axis_off()
    axes.set(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
    for source, target, weight in edges:
      if source == target:
        x, y = at[source]
        begin, end, bend = (x - 0.01, y + 0.03), (x + 0.01, y + 0.03), -3.0
      else:
        begin, end, bend = at[source], at[target], 0.15
      arrow = {
        'arrowstyle': '-|>',
        'connectionstyle': f'arc3,rad={bend}',
        'linewidth': 0.5 + 3 * weight,
        'color': _COLOURS[0],
        'alpha': 0.3 + 0.6 * min(1.0, weight),
        'shrinkA': 18 if source != target else 2,
        'shrinkB': 18 if source != target else 2,
      }
      axes.annotate('', end, begin, arrowprops=arrow)
    for name, (x, y) in at.items():
      axes.text(
        *(x, y, labels[name]),
        fontsize=7,
        ha='center',
        va='center',
        parse_math=False,
        bbox={'boxstyle': 'round', 'facecolor': 'white', 'linewidth': 0.6},
      )
