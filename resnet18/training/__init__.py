"""How a network is trained: random keys, data, augmentation, model, optimizers and the loop."""
