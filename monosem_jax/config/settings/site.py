"""Settings of the page."""

import dataclasses

from monosem_jax.config.settings.fields import free


@dataclasses.dataclass(frozen=True)
class Site:
  """The page that shows features. These settings change no result."""

  # Maximum number of tokens of whole contexts on the page, in which a reader
  # can look beyond an example's window. The strongest examples come first.
  context_tokens: int = free(100_000_000)
