"""The networks: convolutions, ResNets, pooling, heads, and their geometry."""
