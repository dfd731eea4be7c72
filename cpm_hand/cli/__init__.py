"""The command lines: flags in, one library call out."""
