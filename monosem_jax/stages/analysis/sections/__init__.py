"""A section of report.md for every analysis: what was asked, and the answer.

Each answer stands beside its control, with an interval of 95% and what it is
over; all of it is read from the numbers that the analyses wrote.
"""

import dataclasses
from collections.abc import Callable

from monosem_jax.analysis.results.numbers import NotMade, Numbers
from monosem_jax.stages.analysis.sections import effects, features, kinds


@dataclasses.dataclass(frozen=True)
class Section:
  """How an analysis is told.

  Attributes:
    title: of the section.
    asked: the question.
    answer: `answer(numbers, main) -> lines` of Markdown.
    picture: a file of the analysis' folder.
    view: of the page that shows more, as its address has it; '' where the
      answer links to pages of its own.
  """

  title: str
  asked: str
  answer: Callable[..., list[str]]
  picture: str
  view: str = ''


def written(name: str, n: Numbers, main: str) -> list[str]:
  """The section of an analysis, as lines of Markdown.

  Args:
    name: of the analysis.
    n: its numbers, or why there are none.
    main: the run that most is about.
  """
  s = SECTIONS[name]
  lines = [f'### {s.title}', '', s.asked, '']
  if isinstance(n, NotMade):
    return [*lines, f'Not answered: {n.why}.', '']
  lines += [*s.answer(n, main), '']
  lines += [f'![{s.title}](analysis/{name}/{s.picture})', '']
  if s.view:
    lines += [f'More on the page: [{s.view}](site/index.html#{s.view})', '']
  return lines


SECTIONS = {
  'density': Section(
    'Which features live',
    'How many features of each dictionary are dead, rare, of a low mode, live?',
    features.density,
    'densities.png',
    'features',
  ),
  'preserved': Section(
    'What dictionaries preserve',
    'How much of the loss comes back when reconstructions stand for '
    'activations, and how much with neurons, components or random directions, '
    'as many a token?',
    effects.preserved,
    'frontier.png',
    'scorecard',
  ),
  'logits': Section(
    'What features predict',
    'Are logit weights those of few tokens, and do they foretell what an '
    'ablation does?',
    features.logits,
    'kurtosis.png',
    'features',
  ),
  'ablation': Section(
    'What is lost without a feature',
    'By how much does the loss of the next token rise where a feature that '
    'fires strongly is taken away?',
    effects.ablation,
    'top_examples.png',
    'features',
  ),
  'neurons': Section(
    'Features and neurons',
    'Are features sparser, purer and other than neurons?',
    features.neurons,
    'neuron_r.png',
    'features',
  ),
  'proxies': Section(
    'Features that mean what a proxy says',
    'Does a feature stand for Arabic, DNA, ..., and does it do so better than '
    'the best neuron?',
    kinds.proxies,
    'proxies_r.png',
    'scorecard',
  ),
  'automata': Section(
    'Finite-state automata',
    'Do features lead to each other in cycles and chains, more than chance '
    'would have it, and does text follow them?',
    effects.automata,
    'null.png',
    'automata',
  ),
  'neighbours': Section(
    'Nearest decoder rows',
    'How near is the nearest other row, in each dictionary of the model?',
    features.neighbours,
    'nearest.png',
    'features',
  ),
  'texts': Section(
    'Texts, token by token',
    'How many features are active on a token?',
    features.texts,
    'active.png',
    'texts',
  ),
  'steering': Section(
    'Features as actions',
    'Does a pinned feature bring about what it fires on, and more so than a '
    'neuron or a difference of means that moves the model as far?',
    effects.steering,
    'at_maximum.png',
  ),
  'universality': Section(
    'Universality',
    'Has another model, from another seed, the same features?',
    kinds.universality,
    'nearest.png',
    'universality',
  ),
  'splitting': Section(
    'Feature splitting',
    'What does a feature of a small dictionary become in a larger one, and is '
    'that more than what chance leads to?',
    kinds.splitting,
    'children.png',
    'splitting',
  ),
  'geometry': Section(
    'Geometry',
    'Do features that fire alike lie near each other?',
    kinds.geometry,
    'small.png',
    'map',
  ),
}
