"""A camera's picture in the terminal: kitty graphics or sixel where the terminal has them, half blocks elsewhere."""
