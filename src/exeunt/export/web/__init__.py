"""The C of `exeunt.export.c`, compiled to WebAssembly, in a page."""
