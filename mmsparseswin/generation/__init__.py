"""Draw pictures by diffusion: network, process, averaged weights."""
