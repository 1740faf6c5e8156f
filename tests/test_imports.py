"""The rules of who imports whom, as data."""

import ast
import pathlib
import re
import subprocess
import sys

import program
import pytest

PACKAGE = program.ROOT / 'monosem_jax'
MODULES = {
  p.relative_to(PACKAGE).as_posix(): ast.parse(p.read_text('utf-8'))
  for p in sorted(PACKAGE.rglob('*.py'))
}

# A library -> the only places that may import it (a folder ends in /).
DOORS = {
  'grain': ['text/'],
  'tensorflow_datasets': ['text/'],
  'array_record': ['text/'],
  'tokenizers': ['text/'],
  'orbax': ['run/checkpoint.py'],
  'absl': ['main.py'],
  'ml_collections': ['config/load.py'],
  'tensorboardX': ['run/metrics.py'],
  'tqdm': ['run/metrics.py'],
  'safetensors': ['run/files.py'],
  'sklearn': ['analysis/'],
  'umap': ['analysis/'],
  'matplotlib': ['analysis/figures.py'],
  'starlette': ['site/server/application.py'],
  'uvicorn': ['site/server/serving.py'],
  'IPython': ['stages/notebook.py'],
  'google': ['stages/notebook.py'],
  'tensorflow': [],
  'torch': [],
  'pickle': [],
  'sae_lens': [],
}
# The rooms of the program, by floor: a room imports from floors below it alone.
# Only the stages join a producer to a consumer.
FLOORS = (
  ('paper.py',),
  ('config/',),
  ('device/',),
  ('run/',),
  ('text/', 'transformer/', 'dictionary/'),
  ('features/', 'interop/'),
  ('analysis/',),
  ('site/',),
  ('stages/',),
  ('main.py', '__init__.py'),
)
# Lines that a Python file may have.
LINES = 350
# What a room must not import although it lies below.
STRANGERS = {
  'features/': ('text', 'transformer'),
  'interop/': ('text', 'transformer'),
  'analysis/': ('text', 'transformer', 'interop'),
  'site/': ('text', 'transformer', 'dictionary', 'interop'),
}


def _imports(tree: ast.AST) -> set[str]:
  """Every module that is imported anywhere, dotted, `from a import b` as a.b
  and a."""
  found = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      found |= {name.name for name in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, 'relative imports hide from these rules'
      found |= {node.module} | {f'{node.module}.{n.name}' for n in node.names}
  return found


def _top(tree: ast.AST) -> set[str]:
  return {name.partition('.')[0] for name in _imports(tree)}


def _own(tree: ast.AST) -> set[str]:
  """The parts of ours that are imported."""
  names = [n.split('.') for n in _imports(tree)]
  return {n[1] for n in names if n[0] == 'monosem_jax' and len(n) > 1}


def _inside(path: str, places: list[str]) -> bool:
  return any(
    path.startswith(place) if place.endswith('/') else path == place
    for place in places
  )


def _room(path: str) -> str:
  """The room that a module lies in."""
  head, _, rest = path.partition('/')
  return f'{head}/' if rest else head


def test_the_rules_speak_of_what_exists():
  places = [p for doors in DOORS.values() for p in doors]
  rooms = {room for floor in FLOORS for room in floor}
  for place in (*places, *STRANGERS, *rooms):
    assert (PACKAGE / place).exists(), place
  assert {_room(path) for path in MODULES} == rooms
  for library, doors in DOORS.items():
    for door in doors:
      users = [p for p, t in MODULES.items() if _inside(p, [door])]
      assert any(library in _top(MODULES[p]) for p in users), (library, door)


@pytest.mark.parametrize('library', DOORS)
def test_a_library_comes_in_by_one_door(library):
  users = [p for p, tree in MODULES.items() if library in _top(tree)]
  assert [p for p in users if not _inside(p, DOORS[library])] == []


def test_arrows_between_rooms_go_down():
  floor_of = {
    room.removesuffix('.py').removesuffix('/'): i
    for i, floor in enumerate(FLOORS)
    for room in floor
  }
  for path, tree in MODULES.items():
    room = _room(path)
    own = room.removesuffix('.py').removesuffix('/')
    if own == '__init__':
      continue
    others = _own(tree) & set(floor_of) - {own}
    for other in others:
      assert floor_of[other] < floor_of[own], f'{path} imports {other}'
    assert others & set(STRANGERS.get(room, ())) == set(), path


def test_analyses_share_typed_results_alone():
  """analysis/ is leaves: none imports another, and the page imports none."""
  results = 'monosem_jax.analysis.results'
  for path, tree in MODULES.items():
    if _room(path) in ('analysis/', 'site/'):
      leaves = {
        name
        for name in _imports(tree)
        if name.startswith('monosem_jax.analysis.')
      }
      assert all(name.startswith(results) for name in leaves), path


def test_the_tree_in_the_readme_is_the_tree():
  text = (program.ROOT / 'README.md').read_text('utf-8')
  tree = text.partition('## The tree')[2].split('```')[1]
  floors = [room.removesuffix('/') for floor in FLOORS for room in floor]
  found = dict(re.findall(r'^  (\w+)/ +(.*)$', tree, re.M))
  assert [f for f in floors if f in found] == list(found)
  assert {f'{room}/' for room in found} | {'main.py', 'paper.py'} == {
    room for floor in FLOORS for room in floor if room != '__init__.py'
  }
  for room, said in found.items():
    own = ast.get_docstring(MODULES[f'{room}/__init__.py'])
    assert own.splitlines()[0] == said
    names = re.search(rf'^  {room}/ .*\n((?:    .*\n)+)', tree, re.M)[1]
    modules = {
      p.split('/')[1].removesuffix('.py')
      for p in MODULES
      if p.startswith(f'{room}/')
    } - {'__init__'}
    assert set(names.split()) - {'·'} - modules <= {'static'}, room
    assert modules <= set(names.split()), room


def test_axis_names_are_written_in_one_module():
  def axis_names(tree):
    """String constants given to what takes mesh axes."""
    takers = {
      *('P', 'PartitionSpec', 'make_mesh', 'Mesh', 'psum', 'pmean'),
      *('axis_index', 'all_gather', 'ppermute', 'axis_size', 'pmax'),
    }
    for node in ast.walk(tree):
      if isinstance(node, ast.Call):
        name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
        if name in takers:
          for part in ast.walk(node):
            if isinstance(part, ast.Constant) and part.value in AXES:
              yield part.value
      elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(
        'shape'
      ):
        part = node.slice
        if isinstance(part, ast.Constant) and part.value in AXES:
          yield part.value

  from monosem_jax.device.mesh import AXES

  assert set(axis_names(MODULES['device/mesh.py'])) == set(AXES)
  users = [p for p, tree in MODULES.items() if [*axis_names(tree)]]
  assert users == ['device/mesh.py']


def test_nothing_runs_text_as_code_or_reads_pickles():
  for path, tree in MODULES.items():
    for node in ast.walk(tree):
      if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        assert name not in ('eval', 'exec', 'compile', '__import__'), path
        for keyword in node.keywords:
          if keyword.arg == 'allow_pickle':
            assert ast.literal_eval(keyword.value) is False, path
        if name in ('np.load', 'numpy.load'):
          assert any(k.arg == 'allow_pickle' for k in node.keywords), path


def test_no_file_grows_too_long():
  files = {
    path.relative_to(program.ROOT).as_posix(): path
    for folder in ('monosem_jax', 'tests', 'launch')
    for path in (program.ROOT / folder).rglob('*.py')
  }
  for name, path in files.items():
    assert len(path.read_text('utf-8').splitlines()) <= LINES, name


@pytest.mark.parametrize(
  ('module', 'without'),
  [
    ('monosem_jax.site.export', 'jax'),
    ('monosem_jax.site.server.serving', 'jax'),
    ('monosem_jax.main', 'jax'),
    ('monosem_jax.interop.anthropic', 'jax'),
    ('monosem_jax.interop.neuronpedia', 'jax'),
    ('monosem_jax.device.cost.dictionary', 'jax'),
    ('monosem_jax.device.cost.hardware', 'jax'),
    ('monosem_jax.text.store', 'jax'),
    ('monosem_jax.stages.tokens', 'flax'),
    ('monosem_jax.dictionary.train', 'grain'),
    ('monosem_jax.transformer.train', 'orbax'),
    ('monosem_jax.stages.sae.training', 'tensorflow'),
    ('monosem_jax.stages.features.describe', 'tensorflow_datasets'),
  ],
)
def test_a_module_brings_in_no_heavy_library_of_another(module, without):
  done = subprocess.run(
    [
      sys.executable,
      '-c',
      f'import sys, {module}; print({without!r} in sys.modules)',
    ],
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.stdout == 'False\n', done.stderr


def test_config_files_know_nothing_of_the_program():
  for path in (program.ROOT / 'configs').glob('*.py'):
    names = _top(ast.parse(path.read_text('utf-8')))
    neighbours = {p.stem for p in pathlib.Path(path).parent.glob('*.py')}
    assert names <= {'ml_collections', *neighbours}, path
