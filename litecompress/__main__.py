"""`python -m litecompress`, as launchers of several processes need it."""

from litecompress.cli import main

main()
