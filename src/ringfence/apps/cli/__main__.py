"""Entry for ``python -m ringfence.apps.cli``."""

from ringfence.apps.cli import main

main()
