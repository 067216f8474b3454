"""How a network is trained: feeding of images, augmentation, model, optimizer, the loop, and what it costs."""
