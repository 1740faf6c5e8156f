"""The release, model, source set and source of a dictionary in Neuronpedia."""

import dataclasses
from typing import Any

# The account that Neuronpedia's own importer uses by default.
CREATOR = 'clkht01d40000jv08hvalcvly'
_NAME = 'monosem_jax'


@dataclasses.dataclass(frozen=True)
class Source:
  """A dictionary as a source in Neuronpedia.

  Attributes:
    model: unique id of the transformer.
    layers: number of layers of the transformer.
    width: width of its residual stream.
    neurons: number of neurons per layer.
    source_set: name of the dictionary without the layer, such as `mlp-a1`.
    layer: the layer whose activations are decomposed.
    hook: TransformerLens' name of the site; None if it has no name.
    release: id of the release.
    description: one line that describes the dictionary.
    saelens: the dictionary's cfg.json, as text.
    dataset: the dataset of the examples.
    contexts: number of contexts in the features pass.
    context: number of tokens per context.
    created: time of the features pass, ISO 8601.
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
  """The single rows of the four files about the source, by file name."""
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
