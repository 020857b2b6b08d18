"""The restoration networks of CelebA-HQ (Karras et al. 2018, appendix C): fitting them, keeping them, applying them."""
