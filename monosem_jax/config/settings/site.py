"""Settings of the page."""

import dataclasses

from monosem_jax.config.settings.fields import free


@dataclasses.dataclass(frozen=True)
class Site:
  """The page that shows features. These settings change no result."""

  # Most tokens of whole contexts that the page carries, so that a reader can
  # look beyond an example's window. The strongest examples come first.
  context_tokens: int = free(100_000_000)
