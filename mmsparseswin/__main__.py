"""Run the command as `python -m mmsparseswin`, for a script that is not on the PATH."""

from mmsparseswin.command import main

main()
