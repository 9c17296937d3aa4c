"""Entry for ``python -I -m ringfence.apps.runner DATA_DIR RUN``."""

import sys

from ringfence.apps.runner.main import main

sys.exit(main(sys.argv[1:]))
