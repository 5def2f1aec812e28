"""xaiva's headless library: everything the console can do, without a screen."""
