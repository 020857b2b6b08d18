"""Contact sheets and pages that show results."""
