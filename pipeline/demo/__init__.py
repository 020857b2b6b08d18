"""What the embedded demo draws: photographs of faces and scenes. Only the synthetic sources import it."""
