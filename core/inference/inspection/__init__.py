"""Visual inspection: products, indexes, memory banks, and the inspection of pictures."""
