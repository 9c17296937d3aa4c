"""Entry for ``python -I -m ringfence.apps.runner DATA_DIR``; the run's id comes on stdin."""

import sys

from ringfence.apps.runner.main import main

sys.exit(main(sys.argv[1:]))
