"""What the page warns of in a run."""

import exhibits
import made_up

from monosem_jax.site import provenance

# --- warnings


def warned(change) -> list[str]:
  table = made_up.table(top=5)
  table.meta['tokens'] = 20_000_000
  change(table)
  return provenance.warnings(exhibits.exhibit('A1', table))


def test_a_clean_table_warns_of_nothing():
  assert warned(lambda table: None) == []


def test_top_examples_at_position_0_are_warned_of():
  def change(table):
    # 3 of 5 examples of 8 features that are live.
    table.example_position_FE[[0, 1, 2, 4, 5, 7, 8, 9], :3] = 0

  [said] = warned(change)
  assert said.startswith('8 of 56 live features') and 'position 0' in said


def test_one_document_is_warned_of():
  def change(table):
    table.example_context_FE[[0, 1, 2, 4, 5, 7, 8, 9], :3] = 1

  [said] = warned(change)
  assert said.startswith('8 of 56 live features') and 'one document' in said


def test_too_few_tokens_are_warned_of():
  [said] = warned(lambda table: table.meta.update(tokens=1_000))
  assert 'too few for densities below 1e-06' in said


def test_what_the_pass_lost_is_warned_of():
  def change(table):
    table.meta.update(lost_samples=7)

  [lost] = warned(change)
  assert lost.startswith('7 sampled activations')
