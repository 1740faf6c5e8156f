"""The page of the reference run is what its report says: launch/reference."""

import re

import program
import pytest

from launch.reference import __main__ as reference
from monosem_jax.config.errors import UserError


def test_the_page_holds_the_report_and_its_pictures(tmp_path):
  workdir = program.finished()
  reference.write(workdir, tmp_path)
  page = (tmp_path / 'README.md').read_text('utf-8')
  assert page.startswith(reference.NOTES.read_text('utf-8').strip())
  report = (workdir / 'report.md').read_text('utf-8')
  rows = [line for line in report.splitlines() if line.startswith('| ')]
  assert len(rows) > 50
  for row in rows:
    assert row in page or '](' in row, row
  # Every picture of the report is there, as it was.
  shown = re.findall(r'!\[[^\]]*\]\(analysis/(\w+)/(\w+\.png)\)', report)
  assert shown
  for analysis, name in shown:
    copy = tmp_path / f'{analysis}_{name}'
    original = workdir / 'analysis' / analysis / name
    assert copy.read_bytes() == original.read_bytes()
    assert f']({copy.name})' in page


def test_no_link_leads_into_the_work_directory(tmp_path):
  reference.write(program.finished(), tmp_path)
  page = (tmp_path / 'README.md').read_text('utf-8')
  links = re.findall(r'\]\(([^)]*)\)', page)
  there = {
    p.name for p in (*tmp_path.iterdir(), *reference.NOTES.parent.iterdir())
  }
  assert links and set(links) <= there


def test_a_run_without_a_report_is_refused(tmp_path):
  with pytest.raises(UserError, match=r'no file .*report\.md; run'):
    reference.write(tmp_path, tmp_path)


def test_the_page_in_the_repository_was_made_by_the_command():
  """Its head is the notes, and no picture that it shows is missing."""
  folder = reference.NOTES.parent
  page = (folder / 'README.md').read_text('utf-8')
  assert page.startswith(reference.NOTES.read_text('utf-8').strip())
  for link in re.findall(r'\]\(([^)]*)\)', page):
    assert (folder / link).exists(), link
