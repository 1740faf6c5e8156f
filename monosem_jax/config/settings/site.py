"""Settings of the page."""

import dataclasses

from monosem_jax.config.settings.fields import free


@dataclasses.dataclass(frozen=True)
class Site:
  """The page that shows features. None of it changes a result."""

  # Tokens of contexts that are written, at most, so that examples can be read
  # beyond their windows: those of the strongest examples first.
  context_tokens: int = free(100_000_000)
