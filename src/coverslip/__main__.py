"""`python -m coverslip` is the command `coverslip`."""

from coverslip.cli import main

main()
