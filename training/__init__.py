"""The progressive GAN of Karras et al. 2018: networks, losses, schedule, training and what is measured of it."""
