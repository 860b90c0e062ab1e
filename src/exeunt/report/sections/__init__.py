"""The parts of what `exeunt eval` tells."""
