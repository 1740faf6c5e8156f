"""Where a dictionary stands in Neuronpedia: release, model, set and source."""

import dataclasses
from typing import Any

# The account that Neuronpedia's own importer falls back on.
CREATOR = 'clkht01d40000jv08hvalcvly'
_NAME = 'monosem_jax'


@dataclasses.dataclass(frozen=True)
class Source:
  """Where a dictionary stands among others.

  Attributes:
    model: id of the transformer, unlike any other's.
    layers, width, neurons: its layers, its stream's width, neurons of a layer.
    source_set: name of the dictionary, whatever the layer: `mlp-a1`.
    layer: the layer that is decomposed.
    hook: that place by TransformerLens' name; None where it has none.
    release: id of the release.
    description: one line on the dictionary.
    saelens: its cfg.json, as text.
    dataset: what the examples are from.
    contexts, context: how many contexts were read, and the tokens of one.
    created: when features were found, ISO 8601.
  """

  model: str
  layers: int
  width: int
  neurons: int
  source_set: str
  layer: int
  hook: str | None
  release: str
  description: str
  saelens: str
  dataset: str
  contexts: int
  context: int
  created: str

  @property
  def id(self) -> str:
    return f'{self.layer}-{self.source_set}'


def heads(s: Source) -> dict[str, dict[str, Any]]:
  """The one row of each of the four files about the source, by file name."""
  own = {'creatorId': CREATOR, 'createdAt': s.created}
  shown = {'visibility': 'PUBLIC'}
  return {
    'release': {
      'name': s.release,
      'description': s.description,
      'descriptionShort': s.description,
      'creatorName': _NAME,
      'creatorNameShort': _NAME,
      'creatorEmail': None,
      'urls': [],
      'isNewUi': False,
      'featured': False,
      'defaultSourceSetName': s.source_set,
      'defaultSourceId': s.id,
      'defaultUmapSourceIds': [],
      **own,
      **shown,
    },
    'model': {
      'id': s.model,
      'displayName': s.model,
      'displayNameShort': s.model,
      'instruct': False,
      'tlensId': None,
      'dimension': s.width,
      'layers': s.layers,
      'neuronsPerLayer': s.neurons,
      'owner': _NAME,
      'website': None,
      'inferenceEnabled': False,
      'defaultSourceSetName': s.source_set,
      'defaultSourceId': s.id,
      'updatedAt': s.created,
      **own,
      **shown,
    },
    'sourceset': {
      'modelId': s.model,
      'name': s.source_set,
      'description': s.description,
      'type': '',
      'creatorName': _NAME,
      'creatorEmail': None,
      'urls': [],
      'releaseName': s.release,
      'hasDashboards': True,
      'defaultOfModelId': None,
      'defaultRange': 1,
      'defaultShowBreaks': True,
      'showDfa': False,
      'showCorrelated': True,
      'showHeadAttribution': False,
      'showUmap': False,
      **own,
      **shown,
    },
    'source': {
      'id': s.id,
      'modelId': s.model,
      'setName': s.source_set,
      'hasDashboards': True,
      'inferenceEnabled': False,
      'saelensConfig': s.saelens,
      'saelensRelease': None,
      'saelensSaeId': None,
      'hfRepoId': None,
      'hfFolderId': None,
      'defaultOfModelId': None,
      'hasUmap': False,
      'hasUmapLogSparsity': False,
      'hasUmapClusters': False,
      'num_prompts': s.contexts,
      'num_tokens_in_prompt': s.context,
      'dataset': s.dataset,
      'notes': None,
      **own,
      **shown,
    },
  }
