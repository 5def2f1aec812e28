"""Carrying to a site and back: what a medium holds, packing, signing, checking, unpacking."""
