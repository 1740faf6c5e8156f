"""The suite runs on 8 fake devices, under strict dtype promotion.

Modules without test_ in their name hold what several files of tests share:

  the program       program (config, what runs leave) · runs · child · pair
  its failures      undisturbed (comparison) · disks · drill
  its stages        stores · documents · toys · two_models · exported ·
                    labels_given
  made-up features  made_up · analysed · exhibits (their page) · taken_apart
  browser           browser · pages · explore · labelling · single_file
  server, machines  asked · launched · compilers
  arithmetic        counting · counted · resampled · tiny_transformer · steered
"""

import os
import signal
import tempfile

import browser
import jax
import program
import pytest
from absl import flags

jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_dtype_promotion', 'strict')
# grain reads an absl flag, and pytest parses none.
flags.FLAGS.mark_as_parsed()

# In a shell's background it is ignored, and so it would be by all we start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
  """One folder for all processes of a run: pytest-xdist's inherit it."""
  if program.FOLDER not in os.environ:
    folder = tempfile.TemporaryDirectory(prefix='monosem_test_')
    config.add_cleanup(folder.cleanup)
    os.environ[program.FOLDER] = folder.name


@pytest.fixture(scope='module')
def window():
  """A window of a browser, for the tests of a file."""
  with browser.window() as page:
    yield page


@pytest.fixture
def double_precision():
  # Standard promotion: in float64 the settings' float32 meets wider operands.
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    yield


@pytest.fixture
def compiled():
  """Grows by one whenever XLA compiles something."""
  times = []

  def note(event, seconds, **unused):
    if event.endswith('backend_compile_duration'):
      times.append(seconds)

  jax.monitoring.register_event_duration_secs_listener(note)
  yield times
  jax.monitoring.unregister_event_duration_listener(note)
