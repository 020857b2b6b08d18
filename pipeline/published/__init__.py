"""CelebA-HQ as NVIDIA published it: image list, deltas, exact renderer, ledger, inspection of single images."""
