"""CelebA-HQ as NVIDIA published it: image list, deltas, exact renderer, ledger, examination of single images."""
