"""Entry of the egress broker's process: ``python -I -m ringfence.apps.broker FD``.

``FD`` is the broker's end of the control socket; its settings are the first message there.
"""

import sys

from ringfence.gateway.broker import serve


def main() -> None:
    """Serve on the control socket named by the only argument."""
    serve(int(sys.argv[1]))


if __name__ == "__main__":
    main()
