"""Tokens to trained activations, as a share of the bare step's rate."""

from launch.benchmark.bare import L0
from launch.benchmark.measure import SPEED, Speed, in_turn, ratio, table
from launch.benchmark.streams import (
  chunk_flops,
  numbered,
  one_dictionary,
  random_tokens,
  stream_settings,
  transformer,
)


def bench(rounds: int, peers: str | None) -> dict[str, Speed]:
  T, P, C = 256, 128, 256
  c = stream_settings(C, P)
  batch = numbered(random_tokens(C, T))
  works = one_dictionary(c, transformer(T), batch)
  found = in_turn({x: works[x] for x in ('whole', 'steps')}, rounds or 9)
  speed = Speed(C * P, found['whole'], chunk_flops(c, T))
  share = f'{ratio(found["steps"], found["whole"]):.1%}'
  table(
    f'stream: activations from tokens (T={T}, P={P}, L0 {L0})',
    ('', *SPEED, 'of the bare step'),
    ('whole', *speed.cells(), share),
  )
  return {'whole': speed}
