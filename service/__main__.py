"""``python -m service`` is the ``scenewright`` command."""

from service.cli import main

main()
