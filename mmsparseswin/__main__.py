"""`python -m mmsparseswin`: the command where its script is not on the PATH."""

from mmsparseswin.command import main

main()
